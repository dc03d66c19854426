"""Bounds on how far a histogram's metric is from the metric of the rows themselves: counts (..., 2, BINS) to (...)."""

import numpy as np

from common.metrics.bins import EDGES
from common.metrics.types import Floats


def auroc_bound(counts: Floats) -> Floats:
    """Return half the share of pairs of a positive and a negative in one bin: counted 1/2, each is 0, 1/2 or 1."""
    pairs = counts.sum(axis=-1).prod(axis=-1)
    return np.asarray(counts.prod(axis=-2).sum(axis=-1) / pairs / 2)


def auprc_bound(counts: Floats) -> Floats:
    """Return a bound on the error of the average precision, the mean over positives of the precision at their score.

    The true threshold of a positive lies in its bin: its precision is at most that with all the bin's positives and
    none of its negatives called, and at least that with itself alone and all the bin's negatives.
    """
    positive = counts[..., 1, :]
    misses_above, hits_above = (_above(counts[..., side, :]) for side in (0, 1))
    hits = hits_above + positive
    misses = misses_above + counts[..., 0, :]
    # Bins without a positive weigh nothing; the maximum only keeps them from dividing by zero.
    middle = hits / np.maximum(hits + misses, 1)
    highest = hits / np.maximum(hits + misses_above, 1)
    lowest = (hits_above + 1) / (hits_above + 1 + misses)
    spread = [(positive * np.abs(end - middle)).sum(axis=-1) for end in (highest, lowest)]
    return np.asarray(np.maximum(*spread) / positive.sum(axis=-1))


def calibration_bound(counts: Floats) -> Floats:
    """Return the mean over rows of half their bin's width, since each row stands at the middle of its bin."""
    rows = counts.sum(axis=-2)
    return np.asarray((rows * np.diff(EDGES) / 2).sum(axis=-1) / rows.sum(axis=-1))


def _above(counts: Floats) -> Floats:
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1] - counts
