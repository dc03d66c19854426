"""The measure of tasks where a row has any number of labels: each metric is the mean over labels, each yes or no.

A label that all rows have, or none, has no AUROC and does not count in its mean; so with every metric that is undefined
for it. Summaries are one score histogram for each label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from common.metrics.bootstrap import with_interval
from common.metrics.calibration import calibration_error
from common.metrics.classification import accuracy, balanced_accuracy, f1
from common.metrics.evaluation import undefined_reason
from common.metrics.histogram import merge, score_histogram
from common.metrics.histogram_metrics import HISTOGRAM_METRICS, histogram_metric
from common.metrics.measure import Labels, MetricInfo, Summary
from common.metrics.pooled import OWN_MODELS, row_weighted_mean
from common.metrics.ranking import auprc, auroc
from common.metrics.scoring_rules import brier, log_loss
from common.metrics.types import Floats, Metric, ScoreHistogram, Scores, Statistic

INFOS: Final = (
    MetricInfo(
        "auroc",
        "AUROC",
        "AUROC is the probability that a random row with a label scores higher for it than a random row without: 0.5 "
        "is chance, 1 is perfect; here it is the mean over labels.",
    ),
    MetricInfo("auprc", "AUPRC", "Average precision, mean over labels."),
    MetricInfo("accuracy", "Accuracy", "Share of right answers, label by label."),
    MetricInfo("balanced_accuracy", "Balanced accuracy", "Mean of sensitivity and specificity, mean over labels."),
    MetricInfo("f1", "F1", "Harmonic mean of precision and recall, mean over labels."),
    MetricInfo("brier", "Brier score", "Mean squared error of the probabilities.", higher_is_better=False),
    MetricInfo("log_loss", "Log loss", "Mean negative logarithm of the true answer's probability.", False, high=inf),
    MetricInfo("calibration_error", "Calibration error", "Mean gap between probability and frequency.", False),
)
_PREPARE: Final = {
    "auroc": auroc,
    "auprc": auprc,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "brier": brier,
    "log_loss": log_loss,
    "calibration_error": calibration_error,
}
_ROW_MEANS: Final = ("accuracy", "brier", "log_loss")


@dataclass(frozen=True)
class MultiLabelMeasure:
    """Probabilities (n, labels) against 0 and 1 (n, labels)."""

    labels: int
    infos: ClassVar[tuple[MetricInfo, ...]] = INFOS
    choosing: ClassVar[tuple[str, ...]] = ("auroc", "log_loss")
    tuning: ClassVar[str] = "log_loss"

    @property
    def width(self) -> int:
        """One probability for each label."""
        return self.labels

    def evaluate(
        self, scores: Floats, labels: Labels, patients: Sequence[str], *, resamples: int, rng: np.random.Generator
    ) -> Scores:
        """Return every metric, with its interval over patients."""
        patients, reason = list(patients), _unusable(scores)
        if reason is not None:
            metrics = {name: Metric(None, len(patients), reason=reason) for name in _PREPARE}
        else:
            statistics = {name: _mean_over_labels(name, scores, labels) for name in _PREPARE}
            found = with_interval(statistics, patients, resamples=resamples, rng=rng)
            metrics = {name: _explained(name, metric) for name, metric in found.items()}
        return Scores(len(patients), len(set(patients)), metrics)

    def difference(
        self,
        first: Floats,
        second: Floats,
        labels: Labels,
        patients: Sequence[str],
        *,
        resamples: int,
        rng: np.random.Generator,
        metric: str | None = None,
    ) -> Metric:
        """Return the difference of a metric, AUROC by default, over the same resampled patients."""
        chosen = metric or INFOS[0].name
        reason = _unusable(first) or _unusable(second)
        if reason is not None:
            return Metric(None, len(patients), reason=reason)
        ours, theirs = (_mean_over_labels(chosen, scores, labels) for scores in (first, second))

        def difference(weights: Floats) -> Floats:
            return ours(weights) - theirs(weights)

        found = with_interval({chosen: difference}, list(patients), resamples=resamples, rng=rng)
        return _explained(chosen, found[chosen])

    def summary(self, scores: Floats, labels: Labels, patients: Sequence[str]) -> ScoreHistogram | None:  # noqa: ARG002 # the seam's argument
        """Return one curve for each label."""
        if _unusable(scores) is not None:
            return None
        curves = [
            score_histogram(_two_columns(scores, label), labels[:, label], classes=2).counts[0]
            for label in range(self.labels)
        ]
        return ScoreHistogram(np.stack(curves))

    def read_summary(self, content: object) -> ScoreHistogram:
        """Read a score histogram of one curve for each label. Raises SchemaError."""
        return ScoreHistogram.from_json(content, curves=self.labels)

    def pool(
        self,
        sites: Mapping[str, tuple[Scores, Summary | None]],
        *,
        resamples: int,  # noqa: ARG002 # histograms of several labels do not keep rows together: no interval
        rng: np.random.Generator,  # noqa: ARG002 # see `resamples`
        one_model: bool = True,
    ) -> dict[str, Metric]:
        """Return means over rows from the sites' own metrics, the others from the merged histogram."""
        held = {site: sites[site] for site in sorted(sites) if sites[site][0].n}
        if not held:
            return {name: Metric(None, 0, reason="no rows") for name in _PREPARE}
        scores = {site: found for site, (found, _) in held.items()}
        summaries = [summary for _, summary in held.values() if isinstance(summary, ScoreHistogram)]
        found = {name: row_weighted_mean(scores, name) for name in _ROW_MEANS}
        reason = OWN_MODELS if not one_model else "no score histograms" if len(summaries) < len(held) else None
        if reason is not None:
            rows = sum(part.n for part in scores.values())
            found |= {name: Metric(None, rows, reason=reason) for name in HISTOGRAM_METRICS}
        else:
            merged = merge(summaries)
            found |= {name: _pooled(merged, name) for name in HISTOGRAM_METRICS}
        return {name: found[name] for name in _PREPARE}


def _mean_over_labels(name: str, scores: Floats, labels: NDArray[np.int64]) -> Statistic:
    """Labels that these rows leave undefined do not count; a resample that loses another one is undefined itself."""
    parts = [_PREPARE[name](_two_columns(scores, label), labels[:, label]) for label in range(scores.shape[1])]
    defined = [part for part in parts if np.isfinite(part(np.ones(len(scores))))]

    def statistic(weights: Floats) -> Floats:
        if not defined:
            return np.full(np.shape(weights)[:-1], np.nan)
        return np.asarray(np.mean([part(weights) for part in defined], axis=0))

    return statistic


def _two_columns(scores: Floats, label: int) -> Floats:
    return np.stack([1 - scores[:, label], scores[:, label]], axis=1)


def _pooled(merged: ScoreHistogram, name: str) -> Metric:
    """Return the mean over labels of a metric of one label's histogram, and the mean of their errors."""
    curves = [merged.counts[label : label + 1] for label in range(len(merged.counts))]
    each = [histogram_metric(ScoreHistogram(counts), name) for counts in curves]
    values = [metric.value for metric in each if metric.value is not None]
    if not values:
        return Metric(None, merged.n, reason=undefined_reason(name))
    errors = [metric.error for metric in each if metric.error is not None]
    note = "score histograms of several labels do not keep rows together: no interval"
    return Metric(float(np.mean(values)), merged.n, reason=note, error=float(np.mean(errors)) if errors else None)


def _unusable(scores: Floats) -> str | None:
    if not len(scores):
        return "no rows"
    return None if np.isfinite(scores).all() else "probabilities are not finite"


def _explained(name: str, metric: Metric) -> Metric:
    return metric if metric.value is not None else Metric(None, metric.n, reason=undefined_reason(name))
