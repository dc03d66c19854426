"""Brier score and log loss: proper scoring rules, means over rows, so that they add over sites."""

import numpy as np
from numpy.typing import NDArray

from common.metrics.classification import weighted_mean
from common.metrics.types import Probabilities, Statistic


def brier(probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    """Return the Brier score as a function of weights: half the squared distance to the label's unit vector, 0 to 1.

    Half of Brier's own sum over classes (1950, https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2), so
    that two classes give the usual mean of (p1 - y)^2; scikit-learn's `brier_score_loss` with `scale_by_half=True`.

    >>> float(brier(np.array([[0.8, 0.2]]), np.array([0]))(np.ones(1)).round(6))
    0.04
    """
    distance = probabilities - np.eye(probabilities.shape[1])[labels]
    return weighted_mean(np.square(distance).sum(axis=1) / 2)


def log_loss(probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    """Return the mean of -ln p[label], in nats, as a function of weights.

    Probabilities are kept within the rounding unit of their own dtype from 0 and 1, as scikit-learn does: a float32
    model that is sure and wrong costs 15.9, not infinity.
    """
    unit = float(np.finfo(probabilities.dtype).eps)
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return weighted_mean(-np.log(np.minimum(np.maximum(of_label, unit), 1 - unit)))
