"""What (epsilon, delta) a sequence of Gaussian mechanisms over Poisson samples adds up to, and the noise for a wish.

By Google's dp-accounting: `pld` composes privacy loss distributions (Doroshenko et al. 2022,
https://arxiv.org/abs/2207.04380; Opacus calls the same PRV), `rdp` Renyi bounds (Mironov et al. 2019,
https://arxiv.org/abs/1908.10530), which is looser. Both are upper bounds for neighbours that differ by one unit, there
or not there. Where no unit is left out by chance the answer is exact (Dong et al. 2022, https://arxiv.org/abs/1905.02383).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, Literal

from common.errors import UserError

if TYPE_CHECKING:
    from dp_accounting.dp_event import DpEvent
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

Accountant = Literal["pld", "rdp"]

ORDERS: Final = (*range(2, 33), 36, 40, 48, 56, 64, 80, 96, 128, 192, 256, 512)
"""Renyi orders, whole numbers only: dp-accounting 0.6 drops the signs of the series for others, and gives too much."""

LEAST_NOISE: Final = 0.01
MOST_NOISE: Final = 1000.0
"""Noise multipliers between which one is looked for; epsilon is above 1000 at the first, useless at the second."""

INTERVAL: Final = 1e-4
"""Grid of privacy losses at epsilon 2 to 4; finer below, and it doubles with epsilon above, where time would grow."""

BEYOND: Final = 1e4
"""From this epsilon on, which promises nothing, the quick bound does."""

COARSER: Final = 3
"""Doublings of the grid where a rough answer is enough: ten times as quick, and never too low."""

TOLERANCE: Final = 1e-3


@dataclass(frozen=True)
class Spending:
    """Steps of a Gaussian mechanism of sensitivity 1, each over a Poisson sample of the units.

    noise_multiplier: standard deviation of the noise over the sensitivity, above 0. sampling_probability: of each unit,
    in (0, 1]. steps: from 0.
    """

    noise_multiplier: float
    sampling_probability: float
    steps: int

    def __post_init__(self) -> None:
        require("noise multiplier", self.noise_multiplier, 0 < self.noise_multiplier < math.inf, "above 0")
        require_steps(self.sampling_probability, self.steps)


def require(name: str, value: float, is_right: bool, expected: str) -> None:
    """Raise UserError with one line unless `is_right`."""
    if not is_right:
        raise UserError(f"{name} is {value}, but has to be {expected}")


def require_steps(sampling_probability: float, steps: int) -> None:
    """Raise UserError unless these can describe steps over samples."""
    require("sampling probability", sampling_probability, 0 < sampling_probability <= 1, "above 0 and at most 1")
    require("the number of steps", steps, steps >= 0 and steps == int(steps), "a whole number from 0")


def sampling_probability(patients: int, patients_per_step: int) -> float:
    """Return the chance of each patient to be in a step's sample, so that `patients_per_step` are expected.

    >>> sampling_probability(180, 16), sampling_probability(9, 16)
    (0.08888888888888889, 1.0)
    """
    require("the number of patients", patients, patients >= 1, "at least 1")
    require("patients per step", patients_per_step, patients_per_step >= 1, "at least 1")
    return min(1.0, patients_per_step / patients)


def steps_for(epochs: float, q: float) -> int:
    """Return how many samples with probability `q` make up `epochs`: on average each patient is in as many; at least 1.

    >>> steps_for(1, 16 / 180), steps_for(0.5, 1.0)
    (11, 1)
    """
    require("epochs", epochs, 0 < epochs < math.inf, "above 0")
    require("sampling probability", q, 0 < q <= 1, "above 0 and at most 1")
    return max(1, round(epochs / q))


def epsilon_of(spendings: Iterable[Spending], *, delta: float, accountant: Accountant = "pld") -> float:
    """Return epsilon at `delta` of all these together; 0 for none."""
    require("delta", delta, 0 < delta < 1, "between 0 and 1")
    return _epsilon(_merged(spendings), delta, accountant)


def deltas_of(spendings: Iterable[Spending], *, epsilons: Sequence[float], near: float) -> list[float]:
    """Return delta at each of `epsilons` of all these together, on a coarse grid that suits a delta of about `near`."""
    require("delta", near, 0 < near < 1, "between 0 and 1")
    merged = _merged(spendings)
    if not merged:
        return [0.0] * len(epsilons)
    losses = _losses(merged, _renyi_epsilon(merged, near), coarser=COARSER)
    return [min(1.0, float(found)) for found in losses.get_delta_for_epsilon(epsilons)]


def noise_multiplier_for(
    *, epsilon: float, delta: float, sampling_probability: float, steps: int, accountant: Accountant = "pld"
) -> float:
    """Return the smallest noise multiplier, from 0.01, at which `steps` spend no more than `epsilon` at `delta`.

    It is up to a thousandth too large, never too small. Raises UserError if 1000 is not enough.
    """
    require("epsilon", epsilon, 0 < epsilon < math.inf, "above 0")
    require("delta", delta, 0 < delta < 1, "between 0 and 1")
    require_steps(sampling_probability, steps)
    return _noise_multiplier(epsilon, delta, sampling_probability, steps, accountant)


@cache
def _noise_multiplier(epsilon: float, delta: float, q: float, steps: int, accountant: Accountant) -> float:
    def excess(noise: float, by: Accountant = accountant, coarser: int = 0) -> float:
        spent = _epsilon(_merged([Spending(noise, q, steps)]), delta, by, coarser=coarser)
        return math.log(min(max(spent, 1e-9), 1e9) / epsilon)

    if excess(LEAST_NOISE) <= 0:
        return LEAST_NOISE
    if excess(MOST_NOISE) > 0:
        raise UserError(
            f"epsilon {epsilon:g} at delta {delta:g} over {steps} steps needs noise above {MOST_NOISE:g} times the "
            "most that one patient adds: take a larger epsilon, fewer rounds or epochs, or more patients"
        )
    bound = _halved(lambda noise: excess(noise, "rdp"), LEAST_NOISE, MOST_NOISE)
    near = _smallest(lambda noise: excess(noise, coarser=COARSER), bound, step=0.08)
    return _smallest(excess, near, step=0.9 * TOLERANCE)


def _halved(excess: Callable[[float], float], low: float, high: float) -> float:
    """Return noise that is enough, at most 2 % above some that is not; `low` is not, `high` is taken to be."""
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _smallest(excess: Callable[[float], float], enough: float, *, step: float) -> float:
    """Return the least noise without excess, to `TOLERANCE`, in few calls: excess is nearly linear in log noise.

    step: how far below `enough`, in log noise, to look first.
    """
    low = high = math.log(enough)
    under = over = min(excess(math.exp(high)), 0.0)
    while under <= 0:
        high, over = low, under
        low, step = low - step, 2 * step
        under = excess(math.exp(low))
    while high - low > TOLERANCE:
        secant = low + (high - low) * under / (under - over)
        aim = secant + math.copysign(TOLERANCE / 3, low + high - 2 * secant)  # past it, so that both ends close in
        middle = min(max(aim, low + (high - low) / 16), high - (high - low) / 16)
        found = excess(math.exp(middle))
        low, under, high, over = (middle, found, high, over) if found > 0 else (low, under, middle, found)
    return math.exp(high)


def _merged(spendings: Iterable[Spending]) -> list[Spending]:
    """Return the same with one item for each kind of step; those over all units are one Gaussian: their 1 / z^2 add."""
    steps: Counter[tuple[float, float]] = Counter()
    precision = 0.0
    for each in spendings:
        if each.sampling_probability == 1:
            precision += each.steps / each.noise_multiplier**2
        elif each.steps:
            steps[each.noise_multiplier, each.sampling_probability] += each.steps
    plain = [Spending(1 / math.sqrt(precision), 1.0, 1)] if precision else []
    return plain + [Spending(noise, q, count) for (noise, q), count in sorted(steps.items())]


def _epsilon(merged: Sequence[Spending], delta: float, accountant: Accountant, *, coarser: int = 0) -> float:
    """Return epsilon at `delta`; `coarser` grids are quicker and give no less."""
    return _known_epsilon(tuple(merged), delta, accountant, coarser)


@lru_cache(maxsize=1024)  # a fifth of a second each, and every round asks for the same earlier totals
def _known_epsilon(merged: tuple[Spending, ...], delta: float, accountant: Accountant, coarser: int) -> float:
    if not merged:
        return 0.0
    if accountant == "pld" and len(merged) == 1 and merged[0].sampling_probability == 1:
        return _gaussian_epsilon(merged[0].noise_multiplier, delta)
    bound = _renyi_epsilon(merged, delta)
    if accountant == "rdp" or bound == 0 or bound > BEYOND:
        return bound
    return min(bound, float(_losses(merged, bound, coarser=coarser).get_epsilon_for_delta(delta)))


def _gaussian_epsilon(noise_multiplier: float, delta: float) -> float:
    from dp_accounting import get_epsilon_gaussian

    return float(get_epsilon_gaussian(noise_multiplier, delta))


def _renyi_epsilon(merged: Iterable[Spending], delta: float) -> float:
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(ORDERS)
    for each in merged:
        accountant.compose(_event(each))
    return float(accountant.get_epsilon(delta))


def _event(spending: Spending) -> DpEvent:
    from dp_accounting import dp_event

    noise = dp_event.GaussianDpEvent(spending.noise_multiplier)
    sampled = dp_event.PoissonSampledDpEvent(spending.sampling_probability, noise)
    return dp_event.SelfComposedDpEvent(sampled, spending.steps)


def _losses(merged: Iterable[Spending], epsilon: float, *, coarser: int = 0) -> PrivacyLossDistribution:
    """Return the privacy losses of them all on a grid that suits an epsilon of about this size."""
    from dp_accounting.pld.privacy_loss_distribution import identity

    doublings = max(-1, math.floor(math.log2(min(max(epsilon, 1e-3), BEYOND) / 2))) + coarser
    interval = INTERVAL * 2.0**doublings
    total = identity(value_discretization_interval=interval)
    for each in merged:
        step = _losses_of_step(each.noise_multiplier, each.sampling_probability, interval)
        total = total.compose(step.self_compose(each.steps))
    return total


@lru_cache(maxsize=32)  # half a megabyte and half a second each: most of what it takes to know the losses of many steps
def _losses_of_step(noise_multiplier: float, sampling_probability: float, interval: float) -> PrivacyLossDistribution:
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

    return from_gaussian_mechanism(
        noise_multiplier, sampling_prob=sampling_probability, value_discretization_interval=interval
    )
