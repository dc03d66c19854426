"""Decision curves: the net benefit of acting on a prediction, over the risks from which one would act.

Vickers and Elkin 2006, https://doi.org/10.1177/0272989X06295361. Who acts from a risk of t on counts a needless action
t / (1 - t) as bad as a needed one is good: net benefit = TP / n - FP / n * t / (1 - t), in needed actions per row.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.metrics.types import Floats

THRESHOLDS: Final = np.arange(1, 100) / 100


def net_benefit(probability: Floats, positive: NDArray[np.bool_], thresholds: Floats = THRESHOLDS) -> Floats:
    """Return the net benefit (thresholds,) of acting on rows whose probability (n,) is a threshold or more.

    >>> net_benefit(np.array([0.9, 0.6, 0.2, 0.1]), np.array([True, False, True, False]), np.array([0.5])).tolist()
    [0.0]
    """
    acts = probability[None, :] >= thresholds[:, None]
    hits = (acts & positive).mean(axis=1)
    return np.asarray(hits - (acts & ~positive).mean(axis=1) * odds(thresholds))


def treat_all(positive: NDArray[np.bool_], thresholds: Floats = THRESHOLDS) -> Floats:
    """Return the net benefit of acting on every row; that of acting on none is 0."""
    share = positive.mean()
    return np.asarray(share - (1 - share) * odds(thresholds))


def odds(thresholds: Floats) -> Floats:
    """Return t / (1 - t)."""
    return np.asarray(thresholds / (1 - thresholds))
