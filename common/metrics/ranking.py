"""Area under the ROC curve and average precision, with ties, for any row weights.

AUROC is the Mann-Whitney statistic with mid-ranks (Hanley and McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747);
AUPRC is average precision, the step-wise sum without interpolation, as scikit-learn's `average_precision_score`. With
more than two classes both are the mean over one-against-rest, over the classes that occur among the labels.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from common.metrics.types import Floats, Probabilities, Statistic

_OfGroups = Callable[[Floats, Floats], Floats]


def auroc_of_groups(positive: Floats, negative: Floats) -> Floats:
    """Return the AUROC of weights in groups of equal score, in rising order of score: (..., groups) to (...).

    >>> float(auroc_of_groups(np.array([0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0])))
    0.875
    """
    negative_below = negative.cumsum(axis=-1) - negative / 2
    with np.errstate(invalid="ignore"):
        pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
        return np.asarray((positive * negative_below).sum(axis=-1) / pairs)


def auprc_of_groups(positive: Floats, negative: Floats) -> Floats:
    """Return the average precision of weights in groups of equal score, as `auroc_of_groups` does.

    It is undefined (NaN) without negatives too, where it would be 1 whatever the model says.
    """
    true_positives = positive[..., ::-1].cumsum(axis=-1)[..., ::-1]
    called = (positive + negative)[..., ::-1].cumsum(axis=-1)[..., ::-1]
    # Without a row called positive there is none to weigh either: 0/1 stands for 0/0.
    precision = true_positives / np.where(called > 0, called, 1.0)
    total = positive.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (positive * precision).sum(axis=-1) / total
    return np.where(negative.sum(axis=-1) > 0, mean, np.nan)


def auroc(probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    """Return the AUROC of these rows as a function of weights; undefined where a class has no weight.

    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.2, 0.8]])
    >>> float(auroc(p, np.array([0, 0, 1, 1]))(np.ones(4)))
    0.875
    """
    return _one_against_rest(auroc_of_groups, probabilities, labels)


def auprc(probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    """Return the average precision of these rows as a function of weights; undefined where a class has no weight."""
    return _one_against_rest(auprc_of_groups, probabilities, labels)


def _one_against_rest(of_groups: _OfGroups, probabilities: Probabilities, labels: NDArray[np.int64]) -> Statistic:
    if probabilities.shape[1] == 2:
        return _of_scores(of_groups, probabilities[:, 1], labels == 1)
    parts = [_of_scores(of_groups, probabilities[:, c], labels == c) for c in np.unique(labels).tolist()]

    def statistic(weights: Floats) -> Floats:
        return np.mean([part(weights) for part in parts], axis=0)  # type: ignore[no-any-return] # numpy says floating

    return statistic


def _of_scores(of_groups: _OfGroups, scores: Probabilities, positive: NDArray[np.bool_]) -> Statistic:
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    rises = ranked[1:] != ranked[:-1]
    starts = None if rises.all() else np.flatnonzero(np.concatenate([[True], rises]))
    sign = positive[order].astype(np.float64)
    opposite = 1 - sign

    def statistic(weights: Floats) -> Floats:
        ordered = weights[..., order]
        hits, misses = ordered * sign, ordered * opposite
        if starts is not None:
            hits, misses = (np.add.reduceat(part, starts, axis=-1) for part in (hits, misses))
        return of_groups(hits, misses)

    return statistic
