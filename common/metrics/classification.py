"""Accuracy, balanced accuracy and F1 of the predicted class, for any row weights.

The predicted class has the largest probability; of equal ones the first, so with two classes class 1 needs more than
1/2. With two classes F1 is that of class 1; with more, balanced accuracy and F1 are means over classes that occur:
among the labels (balanced accuracy), among labels or predictions (F1), as in scikit-learn. A set of weights that leaves
such a class without any is undefined, so that all bootstrap resamples estimate the same thing.
"""

import numpy as np
from numpy.typing import NDArray

from common.metrics.types import Floats, Probabilities, Statistic


def predict(probabilities: Probabilities) -> NDArray[np.int64]:
    """Return the predicted class of each row: (n, classes) to (n,).

    >>> predict(np.array([[0.5, 0.5], [0.4, 0.6]])).tolist()
    [0, 1]
    """
    if probabilities.shape[1] == 2:
        # Against 1/2, not against the other column: the histogram's edge is 1/2, and rounding may part the two.
        return (probabilities[:, 1] > 0.5).astype(np.int64)
    return np.asarray(np.argmax(probabilities, axis=1), dtype=np.int64)


def accuracy(probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    """Return the share of rows whose predicted class is their label, as a function of weights."""
    return weighted_mean((predict(probabilities) == labels).astype(np.float64))


def balanced_accuracy(probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    """Return the mean recall over the classes among the labels, as a function of weights; undefined for one class."""
    classes = np.flatnonzero(np.bincount(labels))  # `np.unique` of indices, at a third of its time for few rows
    actual = _one_hot(labels, classes)
    hits = actual * (predict(probabilities) == labels)[:, None]

    def statistic(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            recalls = (weights @ hits) / (weights @ actual)
        return np.asarray(recalls.mean(axis=-1) if len(classes) > 1 else np.full(weights.shape[:-1], np.nan))

    return statistic


def f1(probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    """Return F1 = 2 TP / (2 TP + FP + FN) as a function of weights: of class 1, or the mean over classes."""
    predicted = predict(probabilities)
    classes = np.array([1]) if probabilities.shape[1] == 2 else np.union1d(labels, predicted)
    actual, called = _one_hot(labels, classes), _one_hot(predicted, classes)
    hits, either = actual * called, actual + called

    def statistic(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray((2 * (weights @ hits) / (weights @ either)).mean(axis=-1))

    return statistic


def weighted_mean(values: Floats) -> Statistic:
    """Return the mean of row values (n,) as a function of weights."""

    def statistic(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray((weights @ values) / weights.sum(axis=-1))

    return statistic


def _one_hot(labels: NDArray[np.int64], classes: NDArray[np.int64]) -> Floats:
    return np.asarray(labels[:, None] == classes[None, :], dtype=np.float64)
