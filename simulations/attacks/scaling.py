"""Attack `scaling`: the update many times as large, so that the mean is this site's (model replacement).

Bagdasaryan et al. 2020, "How To Backdoor Federated Learning", https://arxiv.org/abs/1807.00459, section 3.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from common.metrics.measure import Labels
from common.state import AdapterState


@dataclass(frozen=True)
class Scaling:
    """factor > 0: how many times as large."""

    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 100.0

    def mislabelled(self, labels: Labels, *, classes: int) -> Labels:  # noqa: ARG002 # the labels are true
        """Return the labels."""
        return labels

    def forged(self, update: AdapterState, received: AdapterState, *, rng: np.random.Generator) -> AdapterState:  # noqa: ARG002
        """Return factor times the update."""
        return {name: np.asarray(self.factor * array.astype(np.float64), array.dtype) for name, array in update.items()}


build = Scaling
