"""Rows on which two adapters can be compared fairly, and their scores of them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.data import Rows
from client.execution import Execution, limited_threads
from client.scoring import score
from client.site_rows import split_of
from common.errors import DataError
from common.metrics.types import Floats
from common.state import AdapterState
from common.study import Study
from common.workbench import Workbench, open_workbench


def check_comparable(candidate: Study, current: Study) -> None:
    """Raise DataError unless both studies predict the same of the same rows."""
    parts = {
        "task.kind": (candidate.task.kind, current.task.kind),
        "task.target": (candidate.task.target, current.task.target),
        "task.labels": (candidate.task.labels, current.task.labels),
        "data.patient_id": (candidate.data.patient_id, current.data.patient_id),
    }
    for key, (new, old) in parts.items():
        if new != old:
            raise DataError(
                f"the candidate's study has {key} = {new!r}, that of the version in use {old!r}: the two cannot be "
                "compared; use another name for another task (--name of `fedpeft registry add`)"
            )


def held_out(rows: Rows, *studies: Study) -> NDArray[np.int64]:
    """Return the positions of the rows that are validation rows in every one of these studies."""
    positions = split_of(rows, studies[0]).validation
    for study in studies[1:]:
        positions = np.intersect1d(positions, split_of(rows, study).validation)
    return positions


def open_bench(study: Study, base: Path, execution: Execution) -> Workbench:
    """Load the base model with the study's method and head."""
    return open_workbench(study, base, attention=execution.attention).to(execution.device)


def scores_of(bench: Workbench, state: AdapterState, rows: Rows, execution: Execution) -> Floats:
    """Return the scores (n, width) of rows by an adapter, all of whose tensors `state` has."""
    bench.write(state)
    examples = bench.task.encode(bench.reader, rows.inputs, rows.labels, max_length=bench.max_length)
    with limited_threads(execution.threads):
        return score(bench, examples, execution=execution)
