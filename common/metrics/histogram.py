"""Score histograms: what a site may release so that ranking and calibration can be measured over all sites."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.errors import SchemaError
from common.metrics.bins import BINS, bin_of
from common.metrics.types import Probabilities, ScoreHistogram


def score_histogram(probabilities: Probabilities, labels: NDArray[np.int64], *, classes: int) -> ScoreHistogram:
    """Return the histogram of (n, classes) probabilities; rows that are not finite are left out.

    >>> h = score_histogram(np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([1, 0]), classes=2)
    >>> h.counts.shape, h.n
    ((1, 2, 840), 2)
    """
    finite = np.isfinite(probabilities).all(axis=1)
    chosen = [1] if classes == 2 else range(classes)
    return ScoreHistogram(np.stack([_curve(probabilities[finite, c], labels[finite] == c) for c in chosen]))


def merge(histograms: Sequence[ScoreHistogram]) -> ScoreHistogram:
    """Return the histogram of the rows of all (at least one); those of other numbers of classes are a SchemaError."""
    shapes = sorted({histogram.counts.shape for histogram in histograms})
    if len(shapes) != 1:
        raise SchemaError(
            f"score histograms have shapes {shapes}, expected one shape: do all sites score the same labels?"
        )
    return ScoreHistogram(np.sum([histogram.counts for histogram in histograms], axis=0, dtype=np.int64))


def _curve(scores: Probabilities, positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    flat = bin_of(scores) + BINS * positive
    return np.bincount(flat, minlength=2 * BINS).reshape(2, BINS)
