"""What a guarantee keeps an attacker from, and what its noise leaves of the signal.

True-positive rates follow from the hypothesis tests that (epsilon, delta) allows (Kairouz et al. 2015,
https://arxiv.org/abs/1311.0776); a mechanism keeps many such pairs at once, and the tightest counts.

Noise against signal takes the most that patients can say: every gradient as long as the clip norm, all in one
direction, in every step. Over d parameters and T steps of b patients with noise multiplier z it is sqrt(d) z / (b
sqrt(T)), about sqrt(d) / (patients x epsilon): up to constants, the excess risk that no private learner avoids in the
worst case (Bassily et al. 2014, https://arxiv.org/abs/1405.7085). Real gradients agree far less, which makes it worse;
they mostly lie in few directions, which makes it better (Li et al. 2022, https://arxiv.org/abs/2207.00160): it is a
yardstick, not a law.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


def odds_factor(epsilon: float) -> float:
    """Return by how much the odds that a patient took part can grow; infinite beyond a double's range."""
    return math.exp(epsilon) if epsilon < 700 else math.inf


def posterior(epsilon: float, *, prior: float) -> float:
    """Return what a suspicion of probability `prior` that a patient took part can grow to.

    >>> round(posterior(1, prior=0.5), 3), posterior(1000, prior=0.5)
    (0.731, 1.0)
    """
    return 1 / (1 + (1 - prior) / prior * math.exp(-epsilon))


def best_true_positive_rate(pairs: Iterable[tuple[float, float]], *, false_positive_rate: float) -> float:
    """Return the share of patients who took part that an attack finds at most, under all these (epsilon, delta).

    >>> round(best_true_positive_rate([(1, 0)], false_positive_rate=0.01), 4)
    0.0272
    """
    return min((_true_positive_rate(*pair, false_positive_rate) for pair in pairs), default=1.0)


def _true_positive_rate(epsilon: float, delta: float, false_positive_rate: float) -> float:
    few = odds_factor(epsilon) * false_positive_rate + delta
    many = 1 - math.exp(-epsilon) * (1 - delta - false_positive_rate)
    return max(false_positive_rate, min(few, many, 1.0))


def noise_per_number(noise_multiplier: float, *, patients_per_step: float) -> float:
    """Return the standard deviation in each number of a step's mean gradient, in clip norms."""
    return noise_multiplier / patients_per_step


def noise_to_signal(noise_multiplier: float, *, patients_per_step: float, steps: int, parameters: int) -> float:
    """Return the length of the noise over that of the largest possible signal, summed over `steps`.

    >>> noise_to_signal(2.0, patients_per_step=100, steps=25, parameters=10_000)
    0.4
    """
    return math.sqrt(parameters / steps) * noise_per_number(noise_multiplier, patients_per_step=patients_per_step)


def pooled_noise_to_signal(ratios: Iterable[tuple[float, int, int]]) -> float:
    """Return the same for the mean of hospitals, weighted by patients.

    ratios: each hospital's own noise to signal, its steps, its patients.

    >>> round(pooled_noise_to_signal([(1.0, 10, 50)] * 4), 6)
    0.5
    """
    found = list(ratios)
    signal = sum(patients * steps for _, steps, patients in found)
    return math.hypot(*(patients * steps * ratio for ratio, steps, patients in found)) / signal
