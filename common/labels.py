"""The labels of a site's rows: read from a column, counted by group, dealt out by group."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError
from common.metrics.measure import Labels
from common.rendering import is_missing, shown
from common.tasks import LooksAtInput, Task

FEW_LABELS: Final = 10
"""So many different numbers or texts, or fewer, are as the classes of a classifier."""


def read_labels(raw: Sequence[str], task: Task, *, target: str) -> Labels:
    """Return the labels of a column; the first cell that is none is a DataError with its row."""
    found = [task.read_label(text) for text in raw]
    for row, (text, label) in enumerate(zip(raw, found, strict=True), start=1):
        if label is None:
            what = "no label" if is_missing(text) else shown(text)
            raise DataError(
                f"target {target!r}, row {row}: found {what}, {task.expected}; correct or remove the row, or the labels"
            )
    return task.stack(found)


def check_fit(task: Task, inputs: Sequence[str], labels: Labels, *, target: str) -> None:
    """Raise DataError, with its row, for the first label that does not fit its text."""
    if not isinstance(task, LooksAtInput):
        return
    for row, (text, label) in enumerate(zip(inputs, labels, strict=True), start=1):
        wrong = task.misfit(text, label)
        if wrong is not None:
            raise DataError(f"target {target!r}, row {row}: {wrong}; correct or remove the row")


def misfit(task: Task, text: str, label: object) -> str | None:
    """Say why a label does not fit its text; None where it does, or where the task does not look."""
    return task.misfit(text, label) if isinstance(task, LooksAtInput) else None


def rarest(task: Task, labels: Labels, patients: Sequence[str]) -> int:
    """Return how many patients the smallest group has; all of them where there are no groups.

    Where the task tells none apart, few labels that patients share are classes all the same, whatever kind of task a
    study makes of them.
    """
    names = np.asarray(patients, dtype=object)
    groups = list(task.groups(labels).values()) or _of_few_labels(labels, patients=len(set(patients)))
    return min((len(set(names[rows])) for rows in groups), default=len(set(patients)))


def _of_few_labels(labels: Labels, *, patients: int) -> list[NDArray[np.bool_]]:
    """Return the rows of each label where these are FEW_LABELS at most, for twice as many patients; none else."""
    found = labels.tolist()
    known = set(found)
    if 2 * len(known) > patients or len(known) > FEW_LABELS:
        return []
    return [np.array([label == each for label in found], dtype=bool) for each in known]


def counted(task: Task, labels: Labels) -> str:
    """Return the rows of each group in words: `no 3, yes 4`; empty where the task tells none apart."""
    return ", ".join(f"{name} {int(rows.sum())}" for name, rows in task.groups(labels).items())


def strata(task: Task, labels: Labels) -> NDArray[np.int64]:
    """Return (n,) the number of each row's first group, by which rows can be dealt out; 0 where there is none."""
    groups = list(task.groups(labels).values())
    return np.argmax(np.stack(groups), axis=0).astype(np.int64) if groups else np.zeros(len(labels), dtype=np.int64)


def is_uniform(task: Task, labels: Labels) -> bool:
    """Whether the task tells groups of rows apart and all rows are in one of them: nothing can be learned of them."""
    groups = task.groups(labels)
    return len(groups) > 1 and len(labels) > 0 and any(bool(rows.all()) for rows in groups.values())
