"""Attack `nan`: one value of each tensor is not a number. One such value in a mean is the end of a model.

A site that runs our software is stopped by it when it packs its reply; the server refuses one that is not.
"""

from dataclasses import dataclass

import numpy as np

from common.metrics.measure import Labels
from common.state import AdapterState, Array


@dataclass(frozen=True)
class NotANumber:
    """Nothing to set."""

    def mislabelled(self, labels: Labels, *, classes: int) -> Labels:  # noqa: ARG002 # the labels are true
        """Return the labels."""
        return labels

    def forged(self, update: AdapterState, received: AdapterState, *, rng: np.random.Generator) -> AdapterState:  # noqa: ARG002
        """Return the update with a NaN in each tensor."""
        return {name: _with_nan(array) for name, array in update.items()}


def _with_nan(array: Array) -> Array:
    made = array.copy()
    made.reshape(-1)[:1] = np.nan
    return made


build = NotANumber
