"""Attack `sign-flip`: the update with the other sign, and larger: it takes the model away from what the others learn.

Li et al. 2019, "RSA: Byzantine-Robust Stochastic Aggregation Methods for Distributed Learning from Heterogeneous
Datasets", https://arxiv.org/abs/1811.03761, section 5, among others. Of a LoRA pair both factors turn.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from common.metrics.measure import Labels
from common.state import AdapterState


@dataclass(frozen=True)
class SignFlip:
    """factor > 0: how many times as large."""

    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0

    def mislabelled(self, labels: Labels, *, classes: int) -> Labels:  # noqa: ARG002 # the labels are true
        """Return the labels."""
        return labels

    def forged(self, update: AdapterState, received: AdapterState, *, rng: np.random.Generator) -> AdapterState:  # noqa: ARG002
        """Return -factor times the update."""
        return {
            name: np.asarray(-self.factor * array.astype(np.float64), array.dtype) for name, array in update.items()
        }


build = SignFlip
