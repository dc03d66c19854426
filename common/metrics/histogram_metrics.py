"""Metrics of a score histogram, each with a bound on its distance from the metric of the rows themselves.

Rows of one bin count as ties, so ranking metrics carry an error. Balanced accuracy and F1 of two classes are exact,
since 1/2 is an edge; with more classes they depend on the largest probability of a row, which no histogram has.
Functions of `counts` map (..., 2, BINS), negatives first, to (...), so that one call serves all bootstrap resamples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from common.metrics.bins import BINS, EDGES, first_bins
from common.metrics.calibration import CALIBRATION_BINS
from common.metrics.evaluation import undefined_reason
from common.metrics.histogram_bounds import auprc_bound, auroc_bound, calibration_bound
from common.metrics.ranking import auprc_of_groups, auroc_of_groups
from common.metrics.types import Floats, Metric, ScoreHistogram

OfCounts = Callable[[Floats], Floats]

_MIDDLES: Final = (EDGES[1:] + EDGES[:-1]) / 2
_ABOVE_HALF: Final = BINS // 2  # the bins are symmetric around the edge 1/2


@dataclass(frozen=True)
class HistogramMetric:
    """How one metric comes from counts: its formula, the bound on its error, and for what it is defined.

    bound: None where the value is exact. two_classes_only: needs more than histograms with three classes or more.
    both_sides: curves without positives or without negatives do not count.
    """

    formula: OfCounts
    bound: OfCounts | None = None
    two_classes_only: bool = False
    both_sides: bool = False


def auroc_of_counts(counts: Floats) -> Floats:
    """Return the AUROC, ties within a bin."""
    return auroc_of_groups(counts[..., 1, :], counts[..., 0, :])


def auprc_of_counts(counts: Floats) -> Floats:
    """Return the average precision, ties within a bin."""
    return auprc_of_groups(counts[..., 1, :], counts[..., 0, :])


def calibration_error_of_counts(counts: Floats) -> Floats:
    """Return the expected calibration error, each row at the middle of its bin."""
    rows = counts.sum(axis=-2)
    gaps = np.add.reduceat(rows * _MIDDLES - counts[..., 1, :], first_bins(CALIBRATION_BINS), axis=-1)
    return np.asarray(np.abs(gaps).sum(axis=-1) / rows.sum(axis=-1))


def balanced_accuracy_of_counts(counts: Floats) -> Floats:
    """Return the mean recall of two classes; NaN where a class has no row."""
    with np.errstate(invalid="ignore"):
        sensitivity = counts[..., 1, _ABOVE_HALF:].sum(axis=-1) / counts[..., 1, :].sum(axis=-1)
        specificity = counts[..., 0, :_ABOVE_HALF].sum(axis=-1) / counts[..., 0, :].sum(axis=-1)
    return np.asarray((sensitivity + specificity) / 2)


def f1_of_counts(counts: Floats) -> Floats:
    """Return F1 of class 1 of two; NaN where no row is positive or predicted so."""
    hits = counts[..., 1, _ABOVE_HALF:].sum(axis=-1)
    actual_and_called = counts[..., 1, :].sum(axis=-1) + counts[..., _ABOVE_HALF:].sum(axis=(-2, -1))
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hits / actual_and_called)


HISTOGRAM_METRICS: Final[Mapping[str, HistogramMetric]] = {
    "auroc": HistogramMetric(auroc_of_counts, auroc_bound, both_sides=True),
    "auprc": HistogramMetric(auprc_of_counts, auprc_bound, both_sides=True),
    "balanced_accuracy": HistogramMetric(balanced_accuracy_of_counts, two_classes_only=True),
    "f1": HistogramMetric(f1_of_counts, two_classes_only=True),
    "calibration_error": HistogramMetric(calibration_error_of_counts, calibration_bound),
}
"""Every metric that a histogram gives, by name."""


def histogram_metric(histogram: ScoreHistogram, name: str) -> Metric:
    """Return one of HISTOGRAM_METRICS, the mean over curves, with its error and without an interval."""
    metric = HISTOGRAM_METRICS[name]
    counts = histogram.counts.astype(np.float64)
    if not histogram.n:
        return Metric(None, 0, reason="no rows")
    if metric.two_classes_only and len(counts) > 1:
        return Metric(None, histogram.n, reason=f"score histograms of {len(counts)} classes do not tell it")
    if metric.both_sides:
        counts = counts[counts.sum(axis=-1).min(axis=-1) > 0]
    value = float(metric.formula(counts).mean()) if len(counts) else np.nan
    if not np.isfinite(value):
        return Metric(None, histogram.n, reason=undefined_reason(name))
    return Metric(value, histogram.n, error=float(metric.bound(counts).mean()) if metric.bound else None)
