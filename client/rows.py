"""The rows of a file, read as the study says: by the source that `data.kind` names."""

from pathlib import Path

from client.data import Inputs, Rows, Source
from common import plugins
from common.study import Study


def read_rows(path: Path, study: Study) -> Rows:
    """Return the labelled rows at `path`. Raises DataError."""
    return source_of(study).read(path, section=study.data, task=study.task)


def read_inputs(path: Path, study: Study) -> Inputs:
    """Return the inputs of the rows at `path`, which need neither labels nor patient ids. Raises DataError."""
    return source_of(study).read_inputs(path, section=study.data)


def source_of(study: Study) -> Source:
    """Return the source that the study's rows are of."""
    source: Source = plugins.build("client.data", study.data.kind, {}, key="data.kind")
    return source
