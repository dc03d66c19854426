"""From a figure to pass or fail: a pass has to mean something, so that there is a third word.

FAIL: the estimate is above the threshold, and more than chance. PASS: the interval's upper end is below the threshold.
Otherwise INCONCLUSIVE, with the number of rows that would decide it if the estimate stayed: an interval's half width
goes with one over the root of their number. An audit bounds leakage from below: a pass says that these attacks failed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from common.metrics.types import Metric

Verdict = Literal["fail", "pass", "inconclusive", "not measured"]
SIGNIFICANCE: Final = 0.025
"""Of a chance probability, where one is known; that of an interval's one side."""


@dataclass(frozen=True)
class Check:
    """One figure beside its threshold.

    key: the threshold's key in `simulation.audit`. scope: of whom, such as a site. chance: what an attack that knows
    nothing reaches. units: how many of what the interval is over, such as rows; None where there are no more to be had.
    probability: that of as much by chance, where it is known without the interval. leading: whether a pass of the whole
    needs a pass here; a fail counts wherever it is.
    """

    key: str
    label: str
    scope: str
    metric: Metric
    chance: float
    threshold: float
    units: int | None
    probability: float | None = None
    leading: bool = True

    @property
    def is_beyond_chance(self) -> bool:
        """Whether chance is an unlikely explanation."""
        if self.probability is not None:
            return self.probability <= SIGNIFICANCE
        return self.metric.low is not None and self.metric.low > self.chance

    @property
    def verdict(self) -> Verdict:
        """What follows."""
        if self.metric.value is None:
            return "not measured"
        if self.metric.value > self.threshold:
            return "fail" if self.is_beyond_chance else "inconclusive"
        return "pass" if self.metric.high is not None and self.metric.high < self.threshold else "inconclusive"

    @property
    def units_needed(self) -> int | None:
        """How many units would make it pass or fail, were the estimate the same; None where that cannot be said."""
        value, low, high, n = self.metric.value, self.metric.low, self.metric.high, self.units
        if self.verdict != "inconclusive" or value is None or low is None or high is None or n is None:
            return None
        if value <= self.threshold:
            room, half = self.threshold - value, high - value
        else:
            room, half = value - self.chance, value - low
        return ceil(n * (half / room) ** 2) if room > 0 else None


def overall(checks: Iterable[Check]) -> Verdict:
    """Return the verdict of all: a fail anywhere is one; a pass needs all leading checks that were measured to pass."""
    every = list(checks)
    leading = [check.verdict for check in every if check.leading and check.verdict != "not measured"]
    if any(check.verdict == "fail" for check in every):
        return "fail"
    if not leading:
        return "not measured"
    return "pass" if all(verdict == "pass" for verdict in leading) else "inconclusive"
