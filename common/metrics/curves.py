"""ROC and calibration curves of a score histogram of two classes, for plots: those of class 1."""

from dataclasses import dataclass

import numpy as np

from common.metrics.bins import EDGES, first_bins
from common.metrics.types import Floats, ScoreHistogram


@dataclass(frozen=True)
class RocCurve:
    """Points of a ROC curve from (0, 0) to (1, 1), the threshold falling; each (k,) float64.

    Straight lines between the points enclose exactly the AUROC of the histogram.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats


@dataclass(frozen=True)
class CalibrationCurve:
    """Bins (k,) that have rows: their mean probability (to within a fine bin), observed frequency and rows."""

    probability: Floats
    observed: Floats
    rows: Floats


def roc_curve(histogram: ScoreHistogram) -> RocCurve | None:
    """Return the ROC curve; None where a class has no rows."""
    counts = histogram.counts[0].astype(np.float64)
    totals = counts.sum(axis=1)
    if not totals.all():
        return None
    kept = np.flatnonzero(counts.sum(axis=0))[::-1]
    rates = np.cumsum(counts[:, kept], axis=1) / totals[:, None]
    start = np.zeros((2, 1))
    negative, positive = np.concatenate([start, rates], axis=1)
    return RocCurve(negative, positive)


def calibration_curve(histogram: ScoreHistogram, *, bins: int = 10) -> CalibrationCurve:
    """Return predicted against observed frequency in `bins` bins of equal width (a divisor of 600).

    Bins without rows are left out.
    """
    counts = histogram.counts[0].astype(np.float64)
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    parts = np.stack([counts.sum(axis=0), counts[1], counts.sum(axis=0) * middles])
    rows, positives, mass = np.add.reduceat(parts, first_bins(bins), axis=1)
    kept = rows > 0
    return CalibrationCurve(mass[kept] / rows[kept], positives[kept] / rows[kept], rows[kept])
