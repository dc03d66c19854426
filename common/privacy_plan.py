"""What a wish for patient-level privacy costs a hospital, before anyone trains.

All steps of all runs over the same patients count together, a search for hyper-parameters too (Papernot and Steinke
2022, https://arxiv.org/abs/2110.03620, on what a search gives away).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.privacy._accounting import (
    Accountant,
    Spending,
    deltas_of,
    epsilon_of,
    noise_multiplier_for,
    require,
    sampling_probability,
    steps_for,
)
from common.privacy._meaning import best_true_positive_rate, noise_per_number, noise_to_signal, pooled_noise_to_signal

FALSE_POSITIVE_RATE: Final = 0.01

DOUBTFUL: Final = 0.3
HOPELESS: Final = 1.0
"""Noise to signal of a whole study from which learning is doubtful, and from which the noise is all there is."""


@dataclass(frozen=True)
class Wish:
    """A study and the privacy it is to have. batch: patients a step; epochs: of a round; runs: over the same patients.

    parameters: how many numbers are trained.
    """

    batch: int
    rounds: int
    epsilon: float
    epochs: float = 1.0
    delta: float = 1e-5
    runs: int = 1
    accountant: Accountant = "pld"
    parameters: int = 74_498

    def __post_init__(self) -> None:
        for name in ("rounds", "runs", "parameters"):
            require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")


@dataclass(frozen=True)
class Plan:
    """What one hospital needs. patients_per_step: expected. steps: of one run. epsilon: really spent by all runs.

    noise_per_number: standard deviation in the mean gradient, in clip norms. noise_to_signal_step, noise_to_signal:
    of one step, of one run; see `common.privacy._meaning`. true_positive_rate: of the best attack on these steps, at
    1 % false positives. promised_true_positive_rate: of the best attack on any steps that spend the wish.
    """

    patients: int
    sampling_probability: float
    patients_per_step: float
    steps_per_round: int
    steps: int
    noise_multiplier: float
    epsilon: float
    noise_per_number: float
    noise_to_signal_step: float
    noise_to_signal: float
    true_positive_rate: float
    promised_true_positive_rate: float

    @property
    def verdict(self) -> str:
        """One word on whether a model can be learned."""
        return verdict_on(self.noise_to_signal)


def plan_for(patients: int, wish: Wish) -> Plan:
    """Return what a hospital of so many patients needs. Raises UserError where no sensible noise is enough."""
    q = sampling_probability(patients, wish.batch)
    steps_per_round = steps_for(wish.epochs, q)
    steps = steps_per_round * wish.rounds
    noise = noise_multiplier_for(
        epsilon=wish.epsilon,
        delta=wish.delta,
        sampling_probability=q,
        steps=steps * wish.runs,
        accountant=wish.accountant,
    )
    spendings = [Spending(noise, q, steps * wish.runs)]
    batch = q * patients
    return Plan(
        patients=patients,
        sampling_probability=q,
        patients_per_step=batch,
        steps_per_round=steps_per_round,
        steps=steps,
        noise_multiplier=noise,
        epsilon=epsilon_of(spendings, delta=wish.delta, accountant=wish.accountant),
        noise_per_number=noise_per_number(noise, patients_per_step=batch),
        noise_to_signal_step=noise_to_signal(noise, patients_per_step=batch, steps=1, parameters=wish.parameters),
        noise_to_signal=noise_to_signal(noise, patients_per_step=batch, steps=steps, parameters=wish.parameters),
        true_positive_rate=_attack_on(spendings, wish),
        promised_true_positive_rate=best_true_positive_rate(
            [(wish.epsilon, wish.delta)], false_positive_rate=FALSE_POSITIVE_RATE
        ),
    )


def verdict_on(ratio: float) -> str:
    """Return one word on a study of this noise to signal.

    >>> [verdict_on(ratio) for ratio in (0.1, 0.5, 2)]
    ['workable', 'doubtful', 'hopeless']
    """
    return "workable" if ratio < DOUBTFUL else "doubtful" if ratio < HOPELESS else "hopeless"


def together(plans: Sequence[Plan]) -> float:
    """Return the noise to signal of the hospitals' mean, weighted by patients."""
    return pooled_noise_to_signal((plan.noise_to_signal, plan.steps, plan.patients) for plan in plans)


def epsilon_with_hope(plan: Plan, wish: Wish) -> float:
    """Return the epsilon of the noise at which the study would no longer be hopeless."""
    noise = plan.noise_multiplier * HOPELESS / plan.noise_to_signal
    spendings = [Spending(noise, plan.sampling_probability, plan.steps * wish.runs)]
    return epsilon_of(spendings, delta=wish.delta, accountant=wish.accountant)


def _attack_on(spendings: Sequence[Spending], wish: Wish) -> float:
    """Return the best attack's true-positive rate under all the (epsilon, delta) that these steps keep."""
    epsilons = [wish.epsilon * part / 200 for part in range(201)]
    pairs = zip(epsilons, deltas_of(spendings, epsilons=epsilons, near=wish.delta), strict=True)
    return best_true_positive_rate(pairs, false_positive_rate=FALSE_POSITIVE_RATE)
