"""What tasks with one class for each row share: labels, groups, probabilities. Their loss is in `_losses`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from common.data_schema import canonical
from common.metrics.measure import Labels

if TYPE_CHECKING:
    from torch import Tensor


def check_labels(labels: Sequence[str], *, least: int = 2) -> None:
    """Raise ValueError unless there are at least so many labels, none of them twice."""
    if len(labels) < least:
        raise ValueError(f"task.labels needs at least {least} labels, found {len(labels)}")
    if len({canonical(label) for label in labels}) != len(labels):
        raise ValueError("labels must differ from each other")


def class_index(text: str, labels: Sequence[str]) -> int | None:
    """Return the position of a label, None where it is none; 1 and 1.0 are one label.

    >>> class_index("1.0", ["0", "1"]), class_index("?", ["0", "1"])
    (1, None)
    """
    wanted = canonical(text)
    return next((index for index, label in enumerate(labels) if canonical(label) == wanted), None)


def stack_classes(labels: Sequence[object]) -> NDArray[np.int64]:
    """Return class indices (n,)."""
    return np.array(cast("Sequence[int]", labels), dtype=np.int64)


def class_groups(found: Labels, labels: Sequence[str]) -> Mapping[str, NDArray[np.bool_]]:
    """Return the rows of each class, by its label."""
    return {label: np.asarray(found == index) for index, label in enumerate(labels)}


def class_columns(probabilities: Tensor, labels: Sequence[str]) -> list[dict[str, object]]:
    """Return the most probable label and every label's probability, for each row of (batch, classes)."""
    rows = probabilities.double().cpu().tolist()
    return [
        {
            "prediction": labels[max(range(len(row)), key=row.__getitem__)],
            **{f"probability_{label}": value for label, value in zip(labels, row, strict=True)},
        }
        for row in rows
    ]
