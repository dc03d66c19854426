"""Attack `gauge`: the same model in factors as far away as one likes, (c B, A / c) for (B, A).

Nothing can be said against the model, B A is what was trained; but the mean of factors is then c times too large in B,
and a rule that measures factors cuts off or lets in the wrong sites. Tensors that are no pair stay as they are.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from common.lora_pairs import pairs_of
from common.metrics.measure import Labels
from common.state import AdapterState


@dataclass(frozen=True)
class Gauge:
    """factor > 0: c."""

    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e3

    def mislabelled(self, labels: Labels, *, classes: int) -> Labels:  # noqa: ARG002 # the labels are true
        """Return the labels."""
        return labels

    def forged(self, update: AdapterState, received: AdapterState, *, rng: np.random.Generator) -> AdapterState:  # noqa: ARG002
        """Return the update to (c B, A / c)."""
        made = dict(update)
        for pair in pairs_of(update):
            for name, by in ((pair.a, 1 / self.factor), (pair.b, self.factor)):
                start = received[name].astype(np.float64)
                made[name] = np.asarray((start + update[name].astype(np.float64)) * by - start, update[name].dtype)
        return made


build = Gauge
