"""Attack `label-flip`: the site trains on wrong labels, class y as class C - 1 - y, and sends honestly what came of it.

Tolpegin et al. 2020, "Data Poisoning Attacks Against Federated Learning Systems", https://arxiv.org/abs/2007.08432.
Validation and test rows keep their labels. The rivals of a comparison train on the same rows.
"""

from dataclasses import dataclass

import numpy as np

from common.errors import StudyError
from common.metrics.measure import Labels
from common.state import AdapterState


@dataclass(frozen=True)
class LabelFlip:
    """Nothing to set."""

    def mislabelled(self, labels: Labels, *, classes: int) -> Labels:
        """Return C - 1 - y for each label y."""
        if classes < 2 or labels.ndim != 1:
            raise StudyError(
                "simulation.attack.name = 'label-flip' needs a task with one class per row; choose another attack"
            )
        return np.asarray(classes - 1 - labels, labels.dtype)

    def forged(self, update: AdapterState, received: AdapterState, *, rng: np.random.Generator) -> AdapterState:  # noqa: ARG002
        """Return the update."""
        return update


build = LabelFlip
