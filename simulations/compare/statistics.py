"""What a comparison says of a cell over seeds: its mean, and its paired difference to the baseline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.metrics.over_seeds import over_seeds
from common.metrics.types import Metric

Values = Mapping[int, float | None]
"""By seed; None where a run has no value."""


@dataclass(frozen=True)
class Paired:
    """Seed by seed, row minus baseline; a win is a seed at which the row is better, whichever way that is.

    A value is better than none, or a strategy would gain by diverging where it does badly. The difference needs both.
    """

    difference: Metric
    wins: int
    ties: int
    losses: int


def level(values: Values, *, within: tuple[float, float] = (-math.inf, math.inf)) -> Metric:
    """Return the mean over the seeds that have a value, with its 95 % t interval, and a reason where some have none.

    >>> level({0: 0.5, 1: 1.0, 2: None}).reason
    '2 of 3 seeds have a value'
    """
    return _over([value for value in values.values() if value is not None], len(values), within)


def paired(row: Values, baseline: Values, *, higher_is_better: bool, within: tuple[float, float]) -> Paired:
    """Compare a row with the baseline, seed by seed; at each, both saw the same split and draws.

    within: bounds of the metric.

    >>> found = paired({0: 0.6, 1: 0.8}, {0: 0.5, 1: 0.8}, higher_is_better=True, within=(0, 1))
    >>> found.wins, found.ties, found.losses
    (1, 1, 0)
    """
    pairs = [(value, baseline.get(seed)) for seed, value in row.items()]
    differences = [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]
    width = within[1] - within[0]
    gains = [_gain(*pair, sign=1 if higher_is_better else -1) for pair in pairs]
    found = [sum(gain > 0 for gain in gains), sum(gain == 0 for gain in gains), sum(gain < 0 for gain in gains)]
    return Paired(_over(differences, len(row), (-width, width)), *found)


def _gain(ours: float | None, theirs: float | None, *, sign: int) -> float:
    if ours is None or theirs is None:
        return (ours is not None) - (theirs is not None)
    return sign * (ours - theirs)


def _over(known: Sequence[float], seeds: int, within: tuple[float, float]) -> Metric:
    if not known:
        return Metric(None, 0, reason="no seed has a value")
    metric = over_seeds(known, within=within)
    if len(known) == seeds or metric.reason is not None:
        return metric
    return Metric(metric.value, metric.n, metric.low, metric.high, reason=f"{len(known)} of {seeds} seeds have a value")
