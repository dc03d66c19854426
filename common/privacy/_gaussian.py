"""What (epsilon, delta) Gaussian mechanisms add up to that every unit is in, each time: exactly, without a search.

Dong, Roth and Su 2019, "Gaussian Differential Privacy", https://arxiv.org/abs/1905.02383, corollary 3.3: mechanisms of
noise multipliers z_1, z_2, ... are together one of z with 1 / z^2 = sum 1 / z_i^2, chosen one after the other or not.
Its epsilon: Balle and Wang 2018, "Improving the Gaussian Mechanism for Differential Privacy",
https://arxiv.org/abs/1805.06530, theorem 8, by Google's dp-accounting.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Final

from common.privacy._accounting import Spending

ACCOUNTANT: Final = "gaussian"
"""The name of this accounting in results."""
_UP: Final = 1 + 1e-9
"""The root that gives a noise multiplier may lie below the true one by its last digits."""


def epsilon_together(spendings: Iterable[Spending], *, delta: float) -> float:
    """Return epsilon at `delta` of all these together; 0 for none.

    Raises:
        ValueError: one of them is over a sample of the units.

    >>> round(epsilon_together([Spending(1.5, 1.0, 10)], delta=1e-5), 3)
    10.67
    """
    found = [each for each in spendings if each.steps]
    if any(each.sampling_probability != 1 for each in found):
        raise ValueError("Gaussian mechanisms over samples do not add up to one Gaussian mechanism")
    if not found:
        return 0.0
    from dp_accounting import get_epsilon_gaussian

    precision = sum(each.steps / each.noise_multiplier**2 for each in found)
    return float(get_epsilon_gaussian(1 / sqrt(precision), delta))


def noise_for(*, epsilon: float, delta: float, rounds: int) -> float:
    """Return the least noise multiplier with which so many rounds together spend at most epsilon at `delta`.

    >>> round(noise_for(epsilon=10.67, delta=1e-5, rounds=10), 3)
    1.5
    """
    from dp_accounting import get_sigma_gaussian

    return float(get_sigma_gaussian(epsilon, delta)) * sqrt(rounds) * _UP
