"""Who was trained on? The loss before training less the loss after it, and how well that tells members from others.

Yeom et al. 2018, "Privacy Risk in Machine Learning", https://arxiv.org/abs/1709.01604, tells by the loss; the base
model's loss is taken off, so that a row is not taken for a member because it is easy (Watson et al. 2022,
https://arxiv.org/abs/2111.08440). Members are training rows, others are test rows: which is which was decided by a hash
of the patient, so that nothing but training tells them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.metrics.bootstrap import LEVEL, with_interval
from common.metrics.types import Floats, Metric
from common.study_audit import AuditSection
from simulations.audit.rates import FALSE_POSITIVES, separation, true_positives, true_positives_by_chance
from simulations.audit.verdict import Check

EVERYONE: Final = "all sites"
LEAST_OTHERS: Final = round(1 / FALSE_POSITIVES)
TOO_FEW: Final = f"less than {LEAST_OTHERS} rows that nobody trained on: 1 % of them is no row"
"""With fewer the rate would hang on the one row that stands highest, and models that saw nobody would be flagged."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are made: bootstrap resamples, and the generator that draws them; `parts` share one error rate."""

    resamples: int
    rng: np.random.Generator
    parts: int = 1

    @property
    def level(self) -> float:
        """Of each interval, so that all `parts` hold together at 95 % (Bonferroni)."""
        return 1 - (1 - LEVEL) / self.parts


@dataclass(frozen=True)
class Separation:
    """How well scores tell members from others, with intervals over patients."""

    auc: Metric
    found: Metric
    members: int
    others: int


def separation_of(
    scores: Floats, members: NDArray[np.bool_], patients: Sequence[str], resampling: Resampling
) -> Separation:
    """Return the area under the curve, and the share of members found at 1 % false positives."""
    counts = int(members.sum()), int((~members).sum())
    if not all(counts):
        missing = Metric(None, len(scores), reason="one of both sides has no rows")
        return Separation(missing, missing, *counts)
    statistics = {"auc": separation(scores, members), "found": true_positives(scores, members)}
    metrics = with_interval(
        statistics, patients, resamples=resampling.resamples, rng=resampling.rng, level=resampling.level
    )
    found = metrics["found"] if counts[1] >= LEAST_OTHERS else Metric(None, len(scores), reason=TOO_FEW)
    return Separation(metrics["auc"], found, *counts)


def checks_of(found: Separation, thresholds: AuditSection, *, scope: str, attack: str, leading: bool) -> list[Check]:
    """Return both figures of one attack beside their thresholds."""
    units = found.members + found.others
    chance = true_positives_by_chance(found.others)
    return [
        Check(
            "membership_auc", f"{attack}: AUC", scope, found.auc, 0.5, thresholds.membership_auc, units, leading=leading
        ),
        Check(
            "membership_tpr_at_1pct",
            f"{attack}: members found at 1 % false positives",
            scope,
            found.found,
            chance,
            max(thresholds.membership_tpr_at_1pct, chance),
            units,
            leading=leading,
        ),
    ]
