"""A rule for each coordinate of the updates by itself, over the sites."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from server.aggregation import ClientUpdate, Mean

Floats = NDArray[np.float64]


def by_coordinate(updates: Sequence[ClientUpdate], rule: Callable[[Floats], Floats]) -> Mean:
    """Return `rule` of each tensor's values, (K, ...) to (...), in float64, one tensor at a time."""
    made = {
        name: rule(np.stack([each.update[name].astype(np.float64) for each in updates]))
        for name in sorted(updates[0].update)
    }
    return Mean(made, {}, sum(each.weight for each in updates), len(updates))
