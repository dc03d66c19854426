"""Differential privacy of patients by DP-SGD at each site: no patient's rows can be told from what leaves.

Abadi et al. 2016, https://arxiv.org/abs/1607.00133, with the patient for the example (all rows of a patient are clipped
together), and Poisson samples of patients. A step adds up g_p min(1, C / ||g_p||) over the patients that were drawn,
adds Gaussian noise of standard deviation z C to every number, and divides by the number of patients that is expected.

- Neighbours: two data sets of a site that differ by one patient, there or not there, with all of the patient's rows.
- Sensitivity: C, in the Euclidean norm over all trained tensors together.
- What is given away: the noised steps alone, so whatever the server computes from updates, weights by example counts
  among it, is post-processing and costs nothing. A site's weight in the mean comes from a count that is rounded and
  taken as known, not from what noise protects; it scales this site's noise and signal alike.
- Assumptions: a patient has one id in `data.patient_id`, the same in all studies (a policy can fix the column); the
  number of a site's patients is no secret (it sets sampling probability, steps and weight); the noise is not seen;
  floating-point numbers are taken for real ones (`common.privacy._noise` says how that is made hard to exploit); the
  time that a round takes is not part of the guarantee.
- Budget: each site's own, over all rounds, by its ledger. With `epsilon` each site finds the noise that spends just
  that in all rounds of the study; small sites need more noise. With `noise_multiplier` all add the same, and small
  sites spend more.

Recommended are methods whose noise stays linear and small (`ffa-lora`, `fedsvd`, `ia3`, `prefix`), large batches, few
steps, a constant learning rate about ten times that without noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from common import plugins
from common.errors import StudyError
from common.foreseen import foreseen_in
from common.peft_methods import AllocatesRanks
from common.plans.hetlora import TAIL_PENALTY
from common.privacy import Unit
from common.privacy._accounting import Accountant, Spending, noise_multiplier_for, sampling_probability, steps_for
from common.strategy_check import METHODS, method_parts

if TYPE_CHECKING:
    from common.study import Study

EPSILON: Final = 8.0
"""The promise of a study that names neither epsilon nor noise."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class PatientDP:
    """The options of a study.

    clip_norm: C; far smaller ones would lie among the smallest float32 there are, whose rounding no bound survives.
    epsilon: what each site may spend in all rounds; or noise_multiplier: z, the same at all sites. delta:
    well below 1 / patients. rows_per_patient: most rows of a patient in one step.
    """

    clip_norm: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    epsilon: Positive | None = None
    noise_multiplier: Positive | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    rows_per_patient: Annotated[int, Field(ge=1)] = 8
    accountant: Accountant = "pld"
    unit: ClassVar[Unit | None] = "patient"

    def __post_init__(self) -> None:
        """Refuse two promises at once."""
        if self.epsilon is not None and self.noise_multiplier is not None:
            raise ValueError("epsilon and noise_multiplier both say how much noise there is; give one of them")

    @property
    def target(self) -> float | None:
        """The epsilon that every site is to spend; None where the noise is given instead."""
        return None if self.noise_multiplier is not None else self.epsilon or EPSILON

    @property
    def in_words(self) -> str:
        """What is done and promised."""
        promise = f"noise of {self.noise_multiplier} times that norm; what it comes to is this site's own to know"
        if self.target is not None:
            promise = f"noise that makes all rounds together ({self.target:g}, {self.delta:g})-differentially private"
        return (
            f"of single patients: each one's gradient is clipped to the norm {self.clip_norm:g}, with {promise}; loss, "
            "gradient norms, times and metrics stay here, counts are rounded"
        )

    def check(self, study: Study) -> None:
        """Refuse what uses rows in another way than by clipped gradients."""
        for text, holds in _unaccounted(study).items():
            if holds:
                raise StudyError(f"privacy.mechanism = 'patient-dp' does not go with {text}")

    def round_of(self, study: Study, patients: int) -> Spending:
        """Return what one round at a site with so many training patients spends: noise, sampling, steps.

        `training.batch_size` is the number of patients that a step expects, `local_epochs` how often each is drawn in a
        round on average. Raises StudyError where no noise is enough.
        """
        training = study.training
        probability = sampling_probability(patients, training.batch_size)
        steps = training.local_steps or steps_for(training.epochs, probability)
        noise = self.noise_multiplier
        if noise is None:
            noise = noise_multiplier_for(
                epsilon=self.epsilon or EPSILON,
                delta=self.delta,
                sampling_probability=probability,
                steps=steps * study.federation.rounds,
                accountant=self.accountant,
            )
        return Spending(noise, probability, steps)

    def guarantee(self, study: Study) -> Mapping[str, object]:
        """Return the promise of all rounds; with a given noise, epsilon is each site's own and null here."""
        return {
            "mechanism": study.privacy.mechanism,
            "unit": self.unit,
            "epsilon": self.target,
            "delta": self.delta,
            "accountant": self.accountant,
            "clip_norm": self.clip_norm,
            "noise_multiplier": self.noise_multiplier,
            "rounds": study.federation.rounds,
        }


def _prunes_ranks(study: Study) -> bool:
    """Whether the method, or one that it is made of, measures gradients as the loss gave them."""
    parts = [part for part in method_parts(study.peft.method, study.peft.options) if part[0] != "hybrid"]
    return any(
        isinstance(plugins.build(METHODS, name, options, key="peft.method"), AllocatesRanks) for name, options in parts
    )


def _unaccounted(study: Study) -> Mapping[str, bool]:
    """Return what a study may not have beside this mechanism, with the reason, and whether it has it."""
    training = study.training
    extras = {name for name, _ in foreseen_in(study, 1, next(iter(study.federation.sites), "")).extra}
    return {
        "data without a patient_id: rows of one patient could not be told from those of several; name the column": (
            not study.data.patient_id
        ),
        f"peft.method = {study.peft.method!r}: it prunes by gradients that are not clipped; use lora": (
            _prunes_ranks(study)
        ),
        "training.regulariser: it computes with rows beside the clipped gradients": training.regulariser is not None,
        "training.accumulate: rows go through the model in parts that fit by themselves; leave it out": (
            training.accumulate != 1
        ),
        "training.precision = 'fp16': it skips steps by gradients that are not clipped; use bf16 or fp32": (
            training.precision == "fp16"
        ),
        "evaluation.keep = 'best': it chooses by metrics, which do not leave; use 'last'": (
            study.evaluation.keep == "best"
        ),
        "federation.patience: it stops by metrics, which do not leave; leave it out": (
            study.federation.patience is not None
        ),
        f"aggregation.name = {study.aggregation.name!r}: it adds a term to the loss of a batch": (
            TAIL_PENALTY in extras
        ),
    }


build = PatientDP
