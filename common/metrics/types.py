"""Values of an evaluation: a metric with its interval, the metrics of one split, and a score histogram.

Each reads itself from the JSON it wrote; what does not fit is a SchemaError, since it comes from another machine.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from common.errors import SchemaError
from common.metrics.bins import BINS

Floats = NDArray[np.float64]

Probabilities = NDArray[np.floating]
"""(n, classes) in the model's own dtype, rows that sum to 1; or one column of it."""

Statistic = Callable[[Floats], Floats]
"""A metric of fixed rows as a function of row weights: (..., n) to (...); NaN where it is undefined.

A weight of k counts a row k times. So one prepared statistic gives the estimate (all weights 1) and every bootstrap
resample (weights are counts) in one call.
"""

_LARGEST_COUNT = 2**53


@dataclass(frozen=True)
class Metric:
    """A number with its interval and sample size, or no number and the reason.

    value, low, high: the estimate and its 95 % interval; None where not defined (`reason`) or not asked for.
    n: number of rows behind it (number of seeds for a mean over seeds).
    error: bound on |exact - value| where the value comes from a histogram; None where the value is exact.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    error: float | None = None

    def to_json(self) -> dict[str, object]:
        """Return `{"value", "low", "high", "n"}`, plus `"reason"` and `"error"` where there are such."""
        content: dict[str, object] = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        optional = {"reason": self.reason, "error": self.error}
        return content | {key: value for key, value in optional.items() if value is not None}

    @classmethod
    def from_json(cls, content: object) -> "Metric":
        """Read what `to_json` wrote.

        >>> Metric.from_json({"value": 0.5, "low": None, "high": None, "n": 4})
        Metric(value=0.5, n=4, low=None, high=None, reason=None, error=None)
        """
        fields = _fields(content, {"value", "low", "high", "n"}, {"reason", "error"})
        numbers = {key: _number(key, fields.get(key)) for key in ("value", "low", "high", "error")}
        reason = fields.get("reason")
        if reason is not None and not isinstance(reason, str):
            raise SchemaError(f"metric's reason is {type(reason).__name__}, expected text")
        return cls(n=_count("n", fields["n"]), reason=reason, **numbers)


@dataclass(frozen=True)
class Scores:
    """The metrics of one model on the rows of one split at one site; `patients` counts distinct patients."""

    n: int
    patients: int
    metrics: Mapping[str, Metric]

    def to_json(self) -> dict[str, object]:
        """Return `{"n", "patients", "metrics": {name: metric}}`."""
        return {"n": self.n, "patients": self.patients, "metrics": self._metrics_json}

    @cached_property
    def _metrics_json(self) -> Mapping[str, dict[str, object]]:
        """It is wanted for a site's store, for a digest and for the wire; nobody changes it."""
        return {name: metric.to_json() for name, metric in self.metrics.items()}

    @classmethod
    def from_json(cls, content: object) -> "Scores":
        """Read what `to_json` wrote."""
        fields = _fields(content, {"n", "patients", "metrics"}, set())
        metrics = fields["metrics"]
        if not isinstance(metrics, Mapping):
            raise SchemaError(f"metrics are {type(metrics).__name__}, expected a table by name")
        read = {str(name): Metric.from_json(metric) for name, metric in metrics.items()}
        return cls(_count("n", fields["n"]), _count("patients", fields["patients"]), read)


@dataclass(frozen=True)
class ScoreHistogram:
    """Counts of predicted probabilities, one class against the rest.

    counts: int64 (curves, 2, BINS); `counts[c, 1, b]` rows of the class, `counts[c, 0, b]` rows of other classes, whose
    probability for the class lies in bin b of `common.metrics.bins`. Two classes have one curve, that of class 1 (the
    other is its mirror image); more classes have one curve each. Histograms of sites add.
    """

    counts: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of rows: those of the first curve."""
        return int(self.counts[0].sum())

    def to_json(self) -> dict[str, object]:
        """Return `{"cells": [[index, count], ...]}` of the cells that are not empty: size goes with rows, not bins."""
        return {"cells": self._cells}

    @cached_property
    def _cells(self) -> list[list[int]]:
        flat = self.counts.reshape(-1)
        filled = np.flatnonzero(flat)
        return np.stack([filled, flat[filled]], axis=1).tolist()  # type: ignore[no-any-return] # numpy says Any

    @classmethod
    def from_json(cls, content: object, *, curves: int) -> "ScoreHistogram":
        """Read what `to_json` wrote; every curve must hold the same number of rows."""
        cells = _fields(content, {"cells"}, set())["cells"]
        if not isinstance(cells, list):
            raise SchemaError(f"cells are {type(cells).__name__}, expected a list")
        counts = np.zeros((curves, 2, BINS), dtype=np.int64)
        for cell in cells:
            index, count = _cell(cell, counts.size)
            counts.reshape(-1)[index] = count
        if len({int(total) for total in counts.sum(axis=(1, 2))}) != 1:
            raise SchemaError(
                "curves of a score histogram hold different numbers of rows, expected the same rows in each"
            )
        return cls(counts)


def curves_of(classes: int) -> int:
    """Return the number of one-against-rest curves of so many classes: one for two classes, else one each."""
    return 1 if classes == 2 else classes


def _fields(content: object, required: set[str], optional: set[str]) -> Mapping[str, object]:
    if not isinstance(content, Mapping):
        raise SchemaError(f"found {type(content).__name__}, expected a table with {sorted(required)}")
    if not required <= set(content) <= required | optional:
        raise SchemaError(f"keys are {sorted(map(str, content))}, expected {sorted(required)} (and {sorted(optional)})")
    return content


def _number(key: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SchemaError(f"metric's {key} is {value!r:.40}, expected a finite number or null")
    return float(value)


def _count(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST_COUNT:
        raise SchemaError(f"{key} is {value!r:.40}, expected a whole number of at least 0")
    return value


def _cell(cell: object, size: int) -> tuple[int, int]:
    if not isinstance(cell, list) or len(cell) != 2:
        raise SchemaError(f"cell is {cell!r:.40}, expected [index, count]")
    index, count = _count("cell index", cell[0]), _count("cell count", cell[1])
    if index >= size:
        raise SchemaError(f"cell index is {index}, expected less than {size}")
    return index, count
