"""Site-level differential privacy: the server clips every update, and adds Gaussian noise to their mean.

McMahan et al. 2018, "Learning Differentially Private Recurrent Language Models", https://arxiv.org/abs/1710.06963,
algorithm 1 with flat clipping and the estimator of a fixed denominator. We differ: cohorts are not Poisson samples, so
nothing is gained by sampling; the weights' bound is a number of the study.

    mean = sum_k w_k min(1, C / |u_k|) u_k / W + N(0, (z S)^2 I),        S = C w / W,  w = largest possible w_k

over the sites whose update was accepted, |u_k| the Euclidean norm over all tensors of an update together. By
`aggregation.weighting`: "uniform" is w_k = w = 1 and W = the number of sites that are asked in a round; "examples" is
w_k = min(examples, weight_cap), w = weight_cap, and W = weight_total, or weight_cap times the number of sites asked.

- Neighbours: two runs that differ by one site, there or not there, or there with an update of zero.
- Sensitivity: S in the Euclidean norm over all tensors together. C, w, W and z are numbers of the study, so none
  depends on who answers or what; runs that differ by one site differ in one term of the sum, which is at most
  w min(1, C / |u|) |u| / W <= C w / W long. To replace an update by another changes up to 2 S: two sites' worth.
- A site that does not answer is one whose update is zero: W and the noise stay, the mean shrinks. To divide by those
  who did answer would make denominator and sensitivity depend on who did, for the same ratio of signal to noise.
- Composition: every site counts as taking part in every round, so T rounds are one Gaussian mechanism of z / sqrt(T),
  whose epsilon is exact (`common.privacy._accounting`); the cohorts of `federation.fraction` come from the study's
  seed, which all know, and amplify nothing.
- The ledger is the run's, in the server's checkpoint. A round's noise and its entry become the checkpoint together,
  before the next question carries the adapter away. A server that is killed before that draws new noise when it
  resumes; nobody has seen the first. Two runs over the same sites add up, and no ledger here knows both.

What is covered: the adapters that the server sends and keeps. What is not: the server itself sees every update and is
trusted; losses, metrics, example counts, sizes of messages and who took part are recorded as they are, and whether a
run came to its end may depend on a site. Floating-point numbers are taken for real ones (`common.privacy._noise`), and
the sum is rounded to the adapter's precision after the noise.

Sites are few. Noise on every number has about the length z S sqrt(d) for d numbers, and the mean has at most C (W = the
sum of the weights): with ten hospitals and some ten thousand numbers the noise is many times the mean, and the adapter
learns nothing. To hide one in ten is to hide a tenth of all that was learned. Patient-level privacy at the sites is
what a study of hospitals wants; this is for hundreds of sites, or for few numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from common import plugins
from common.cohort_size import cohort_size
from common.errors import StudyError
from common.privacy import Unit
from common.privacy._accounting import LEAST_NOISE, MOST_NOISE, Accountant, Spending, epsilon_of, noise_multiplier_for
from common.strategy_check import STRATEGIES, check_sum_is_enough

if TYPE_CHECKING:
    from common.study import Study

EPSILON: Final = 8.0
"""What the rounds may spend in a study that names neither epsilon nor noise."""
ACCOUNTANT: Final[Accountant] = "pld"
NOT_COVERED: Final = (
    "losses, metrics, example counts and who took part, which are recorded as they are; other runs over the same sites"
)


@dataclass(frozen=True)
class SiteRule:
    """What the server does with the updates of a round, in numbers that do not depend on them.

    clip_norm: C. noise_multiplier: z. weight_cap: w, in examples; None where every site has the weight 1. divisor: W.
    budget: epsilon that the run may not exceed; None where it is only counted.
    """

    clip_norm: float
    noise_multiplier: float
    divisor: float
    delta: float
    weight_cap: int | None = None
    budget: float | None = None

    @property
    def sensitivity(self) -> float:
        """S: how far one site, there or not there, can move the mean of a round."""
        return self.clip_norm * (self.weight_cap or 1) / self.divisor

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on every number of the mean."""
        return self.noise_multiplier * self.sensitivity

    def weight(self, *, examples: int, norm: float) -> float:
        """Return w_k min(1, C / |u_k|): with it in the sum an update is clipped; one of zero has its whole weight.

        >>> rule = SiteRule(clip_norm=2.0, noise_multiplier=1.0, divisor=3, delta=1e-5)
        >>> [rule.weight(examples=50, norm=length) for length in (0.0, 2.0, 8.0)]
        [1.0, 1.0, 0.25]
        """
        weight = 1.0 if self.weight_cap is None else float(min(examples, self.weight_cap))
        return weight if norm <= self.clip_norm else weight * (self.clip_norm / norm)

    def noise_norm(self, size: int) -> float:
        """Return the expected length of the noise on so many numbers, of which the true one strays little."""
        return self.noise_std * sqrt(size)

    def spent_after(self, spent: Sequence[Spending]) -> tuple[Spending, ...]:
        """Return the ledger with one more round."""
        if spent and spent[-1].noise_multiplier == self.noise_multiplier:
            *before, last = spent
            return (*before, Spending(last.noise_multiplier, last.sampling_probability, last.steps + 1))
        return (*spent, Spending(self.noise_multiplier, 1.0, 1))

    def epsilon_of(self, spent: Sequence[Spending]) -> float:
        """Return epsilon of a ledger."""
        return epsilon_of(spent, delta=self.delta, accountant=ACCOUNTANT)

    def can_pay(self, spent: Sequence[Spending]) -> bool:
        """Whether one more round stays within the budget."""
        return self.budget is None or self.epsilon_of(self.spent_after(spent)) <= self.budget


@dataclass(frozen=True)
class SiteDP:
    """The options of a study.

    clip_norm: C. epsilon: what all rounds together may spend; noise_multiplier: z, by default that which spends just
    epsilon, else epsilon is only checked. delta: well below 1 / sites. weight_cap: examples up to which a site's weight
    grows, where weights are by examples; weight_total: W, the sum of such weights that the study expects.
    """

    clip_norm: Annotated[float, Field(gt=0, le=1e15)] = 1.0
    noise_multiplier: Annotated[float, Field(ge=LEAST_NOISE, le=MOST_NOISE)] | None = None
    epsilon: Annotated[float, Field(gt=0, le=1e4)] | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    weight_cap: Annotated[int, Field(ge=1)] | None = None
    weight_total: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    unit: ClassVar[Unit | None] = "site"

    def __post_init__(self) -> None:
        """Refuse a total without a cap, and one that a single site exceeds."""
        if self.weight_total is not None and self.weight_total < (self.weight_cap or float("inf")):
            raise ValueError("weight_total is the sum of weights up to weight_cap; give both, and at least the cap")

    @property
    def budget(self) -> float | None:
        """What the rounds may spend; None where the noise is given and nothing else."""
        return EPSILON if self.epsilon is None and self.noise_multiplier is None else self.epsilon

    @property
    def in_words(self) -> str:
        """What is done and promised."""
        noise = [] if self.noise_multiplier is None else [f"of {self.noise_multiplier:g} times what one site can move"]
        budget = [] if self.budget is None else [f"that keeps all rounds within epsilon {self.budget:g}"]
        return (
            f"of whole sites, by the server, which sees this site's update and is trusted with it: updates are clipped "
            f"to the norm {self.clip_norm:g}, and their mean gets noise {' and '.join([*noise, *budget])} at delta "
            f"{self.delta:g}; who sees the adapters alone can hardly tell whether this site took part; metrics, counts "
            "and losses are not covered, and no single patient is protected from the server"
        )

    def check(self, study: Study) -> None:
        """Refuse what would let a site move the adapter by more than the sensitivity, or tell of it by another way."""
        strategy = study.aggregation
        built = plugins.build(STRATEGIES, strategy.name, strategy.options, key="aggregation.name")
        check_sum_is_enough(study, built)
        for text, holds in self._unaccounted(study).items():
            if holds:
                raise StudyError(f"privacy.mechanism = 'site-dp' does not go with {text}")
        self._check_delta(len(study.federation.sites))
        if self.noise_multiplier is not None and self.epsilon is not None:
            self._check_rounds(study.federation.rounds, noise=self.noise_multiplier, epsilon=self.epsilon)

    def _unaccounted(self, study: Study) -> Mapping[str, bool]:
        """Return what a study may not have beside this mechanism, with the reason, and whether it has it."""
        by_examples = study.aggregation.weighting == "examples"
        return {
            "aggregation.weighting = 'examples' without a bound on one site's weight; give privacy.weight_cap, a "
            "number of examples, or use 'uniform'": by_examples and self.weight_cap is None,
            "privacy.weight_cap where aggregation.weighting = 'uniform' makes all weights 1; leave it out, or use "
            "'examples'": not by_examples and self.weight_cap is not None,
            "evaluation.keep = 'best': it chooses by metrics that have no noise; use 'last'": (
                study.evaluation.keep == "best"
            ),
            "federation.patience: it stops by metrics that have no noise; leave it out": (
                study.federation.patience is not None
            ),
            "federation.ranks: the noise has one shape for all sites; leave it out": bool(study.federation.ranks),
        }

    def _check_delta(self, sites: int) -> None:
        if sites and self.delta >= 1 / sites:
            raise StudyError(
                f"privacy.delta = {self.delta:g} with {sites} sites promises nothing: some site may be given away each "
                f"time; expected well below 1 / {sites}, such as 1e-05"
            )

    def _check_rounds(self, rounds: int, *, noise: float, epsilon: float) -> None:
        planned = epsilon_of([Spending(noise, 1.0, rounds)], delta=self.delta, accountant=ACCOUNTANT)
        if planned > epsilon:
            enough = self._noise_for(epsilon, rounds)
            raise StudyError(
                f"{rounds} rounds with privacy.noise_multiplier = {noise:g} spend epsilon {planned:.4g}, above "
                f"privacy.epsilon = {epsilon:g}; play fewer rounds, give a noise_multiplier of {enough:.4g} or more, "
                "or leave it out"
            )

    def noise_of(self, study: Study) -> float:
        """Return z, which spends just epsilon in all rounds where it is not given."""
        if self.noise_multiplier is not None:
            return self.noise_multiplier
        return self._noise_for(self.budget or EPSILON, study.federation.rounds)

    def _noise_for(self, epsilon: float, rounds: int) -> float:
        return noise_multiplier_for(
            epsilon=epsilon, delta=self.delta, sampling_probability=1.0, steps=rounds, accountant=ACCOUNTANT
        )

    def rule(self, study: Study, *, sites: int) -> SiteRule:
        """Return what the server of a study over so many sites does."""
        asked = cohort_size(sites, study.federation.fraction)
        return SiteRule(
            clip_norm=self.clip_norm,
            noise_multiplier=self.noise_of(study),
            divisor=self.weight_total or float((self.weight_cap or 1) * asked),
            delta=self.delta,
            weight_cap=self.weight_cap,
            budget=self.budget,
        )

    def guarantee(self, study: Study) -> Mapping[str, Any]:
        """Return the promise of all rounds of the study, and for whom it is none."""
        sites, rounds = len(study.federation.sites), study.federation.rounds
        rule = self.rule(study, sites=sites)
        return {
            "mechanism": study.privacy.mechanism,
            "unit": self.unit,
            "epsilon": rule.epsilon_of([Spending(rule.noise_multiplier, 1.0, rounds)]),
            "delta": self.delta,
            "accountant": ACCOUNTANT,
            "rounds": rounds,
            "clip_norm": self.clip_norm,
            "noise_multiplier": rule.noise_multiplier,
            "sensitivity": rule.sensitivity if sites else None,
            "noise_std": rule.noise_std if sites else None,
            "weight_cap": self.weight_cap,
            "sites_per_round": cohort_size(sites, study.federation.fraction) if sites else None,
            "covers": "the adapters, for whoever sees them and neither the server nor these results",
            "trusts": "the server, which sees every update",
            "not_covered": NOT_COVERED,
        }


build = SiteDP
