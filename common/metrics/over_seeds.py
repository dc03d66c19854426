"""Mean over seeds with its t interval (Student 1908): how much a result depends on the split and the draw."""

import math
from collections.abc import Sequence

import numpy as np

from common.metrics.types import Metric


def over_seeds(values: Sequence[float], *, within: tuple[float, float] = (-math.inf, math.inf)) -> Metric:
    """Return the mean of one value per seed with its 95 % t interval; `n` is the number of seeds.

    within: the values that the metric can have; an interval that reaches beyond them is cut there.
    It takes the seeds as independent and normal around their mean; they share the same patients, so it says nothing
    about other patients. One seed has no interval.

    >>> over_seeds([0.5, 0.75, 1.0]).value
    0.75
    """
    if not values:
        return Metric(None, 0, reason="no seeds")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Metric(mean, 1, reason="one seed: no interval")
    half = t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    low, high = within
    return Metric(mean, len(values), max(low, mean - half), min(high, mean + half))


def t_quantile(degrees: int, *, level: float = 0.95) -> float:
    """Return t with P(|T| <= t) = level for Student's T with `degrees >= 1` degrees of freedom, by bisection.

    >>> round(t_quantile(4), 4)
    2.7764
    """
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _probability_within(middle, degrees) < level else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _probability_within(angle: float, degrees: int) -> float:
    """Return P(|T| <= sqrt(degrees) tan(angle)).

    The finite series for whole degrees of freedom: Abramowitz and Stegun 1964, 26.7.3 (odd) and 26.7.4 (even).
    """
    cosine, odd = math.cos(angle), degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
