"""How well scores tell members from others: area under the ROC curve, and true positives at few false ones.

Carlini et al. 2022, "Membership Inference Attacks From First Principles", https://arxiv.org/abs/2112.03570, section
III: an attack that finds a few members for sure is worse than its area says, so the rate at 1 % false positives counts.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.metrics.ranking import auroc
from common.metrics.types import Floats, Statistic

FALSE_POSITIVES: Final = 0.01


def separation(scores: Floats, members: NDArray[np.bool_]) -> Statistic:
    """Return the area under the ROC curve of these rows as a function of weights; NaN where a side has none.

    >>> float(separation(np.array([3.0, 1.0, 2.0]), np.array([True, True, False]))(np.ones(3)))
    0.5
    """
    return auroc(np.stack([-scores, scores], axis=1), members.astype(np.int64))


def true_positives(scores: Floats, members: NDArray[np.bool_], *, at: float = FALSE_POSITIVES) -> Statistic:
    """Return the largest share of members above a threshold that at most the share `at` of the others is above.

    >>> found = true_positives(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, True]))
    >>> round(float(found(np.ones(4))), 3)
    0.667
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.concatenate([ranked[1:] != ranked[:-1], [True]]))
    sign = members[order].astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        ordered = weights[..., order]
        hits, false = (np.cumsum(part, axis=-1) for part in (ordered * sign, ordered * (1 - sign)))
        allowed = false[..., ends] <= at * false[..., -1:] + 1e-9
        best = np.where(allowed, hits[..., ends], 0.0).max(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(false[..., -1] > 0, best / hits[..., -1], np.nan)

    return statistic


def true_positives_by_chance(others: int, *, at: float = FALSE_POSITIVES) -> float:
    """Return what scores that know nothing reach on average: (k + 1) / (n + 1), where k of n others may be above.

    With few others the threshold lies above all of them, and more members than `at` are still beyond it.

    >>> true_positives_by_chance(9), round(true_positives_by_chance(99_999), 4)
    (0.1, 0.01)
    """
    return (math.floor(at * others + 1e-9) + 1) / (others + 1)
