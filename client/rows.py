"""The rows of a file, read as the study says: by the source that `data.kind` names."""

from pathlib import Path

from client.data import Inputs, Rows, Source
from common import plugins
from common.study import Study


def read_rows(path: Path, study: Study) -> Rows:
    """Return the labelled rows at `path`. Raises DataError."""
    return _source(study).read(path, section=study.data, task=study.task)


def read_inputs(path: Path, study: Study) -> Inputs:
    """Return the inputs of the rows at `path`, which need neither labels nor patient ids. Raises DataError."""
    return _source(study).read_inputs(path, section=study.data)


def _source(study: Study) -> Source:
    source: Source = plugins.build("client.data", study.data.kind, {}, key="data.kind")
    return source
