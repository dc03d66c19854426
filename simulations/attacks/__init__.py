"""Bad sites of a simulation: one file is one way in which a site lies. Against them robust strategies are tried.

An attack module has `build`, a frozen dataclass of the options that is an `Attack`. A bad site trains as all others do,
from labels that the attack may have changed, and its own gate lets the update out; the lie comes after it, as from a
hospital whose software is not ours. Everything else that it says is true.
"""

from typing import Protocol

import numpy as np

from common.metrics.measure import Labels
from common.state import AdapterState


class Attack(Protocol):
    """What an attack file's `build` makes. A part of it that is no lie returns what it was given."""

    def mislabelled(self, labels: Labels, *, classes: int) -> Labels:
        """Return the labels (n, ...) to train on instead. classes: of the study's task. Raises StudyError."""
        ...

    def forged(self, update: AdapterState, received: AdapterState, *, rng: np.random.Generator) -> AdapterState:
        """Return what is sent instead of `update`, which was trained from `received`: same names, shapes, dtypes."""
        ...
