"""Expected calibration error over 15 bins of equal width.

Naeini, Cooper, Hauskrecht 2015 (https://doi.org/10.1609/aaai.v29i1.9602) for two classes, on the probability of class
1; with more classes the mean over one-against-rest (class-wise error, Kull et al. 2019, https://arxiv.org/abs/1910.12656)
and not the top-label form of Guo et al. 2017, which no histogram of a class's probability can give.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.metrics.bins import bin_of, equal_edges
from common.metrics.types import Floats, Probabilities, Statistic

CALIBRATION_BINS: Final = 15


def calibration_error(probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    """Return sum over bins of |sum of (p - y)| / n, as a function of weights.

    >>> p = np.array([[0.8, 0.2], [0.8, 0.2], [0.1, 0.9]])
    >>> float(calibration_error(p, np.array([0, 1, 1]))(np.ones(3)).round(6))
    0.233333
    """
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    gaps = [_gaps(probabilities[:, c], labels == c) for c in classes]

    def statistic(weights: Floats) -> Floats:
        total = sum(np.abs(weights @ gap).sum(axis=-1) for gap in gaps)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / weights.sum(axis=-1) / len(gaps))

    return statistic


def _gaps(scores: Probabilities, positive: NDArray[np.bool_]) -> Floats:
    """Return p - y of each row in the column of its bin, 0 in the other columns: (n, bins)."""
    gaps = np.zeros((len(scores), CALIBRATION_BINS))
    gaps[np.arange(len(scores)), bin_of(scores, equal_edges(CALIBRATION_BINS))] = scores.astype(np.float64) - positive
    return gaps
