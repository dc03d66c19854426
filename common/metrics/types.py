"""Values of an evaluation: a metric with its interval, the metrics of one split, and a score histogram."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Metric:
    """A number with its interval and sample size, or no number and the reason.

    value, low, high: the estimate and its 95 % interval; None where not defined (`reason`) or not asked for.
    n: number of rows behind it.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return `{"value", "low", "high", "n"}`, plus `"reason"` where there is no value or no interval."""
        content: dict[str, object] = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        return content if self.reason is None else {**content, "reason": self.reason}


@dataclass(frozen=True)
class Scores:
    """The metrics of one model on the rows of one split at one site; `patients` counts distinct patients."""

    n: int
    patients: int
    metrics: Mapping[str, Metric]


@dataclass(frozen=True)
class ScoreHistogram:
    """Counts of predicted probabilities, one class against the rest.

    counts: int64 (classes, 2, bins); `counts[c, 1, b]` rows of class c, `counts[c, 0, b]` rows of other classes, whose
    probability for c lies in [b/bins, (b+1)/bins), the last bin closed. Histograms of sites add.
    """

    counts: NDArray[np.int64]
