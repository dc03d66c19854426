"""Metrics over the rows of all sites, from what the sites release: their scores, and their histograms if they do.

Accuracy, Brier score and log loss are means over rows, so they add exactly. Their intervals combine the sites' own
(over patients; see `common.metrics.mover`). The other metrics come from the merged histogram.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from common.metrics.evaluation import METRICS
from common.metrics.histogram import merge
from common.metrics.histogram_bootstrap import with_row_intervals
from common.metrics.histogram_metrics import HISTOGRAM_METRICS, histogram_metric
from common.metrics.mover import in_quadrature
from common.metrics.types import Metric, ScoreHistogram, Scores

Released = tuple[Scores, ScoreHistogram | None]

ADDITIVE: Final = ("accuracy", "brier", "log_loss")
"""Metrics that are means over rows."""


OWN_MODELS: Final = "each site is scored by its own model: scores are not comparable"


def pool(
    sites: Mapping[str, Released], *, resamples: int, rng: np.random.Generator, one_model: bool = True
) -> dict[str, Metric]:
    """Return every metric of METRICS over the rows of all sites; sites without rows do not count.

    A metric that the sites' releases do not give has no value and says why. Intervals of histogram metrics are by a
    bootstrap of rows within sites, so only where each row is a patient of its own. The order of sites does not matter.

    one_model: whether one model scored all sites; else only means over rows can be pooled.
    """
    held = {name: sites[name] for name in sorted(sites) if sites[name][0].n}
    if not held:
        return {name: Metric(None, 0, reason="no rows") for name in METRICS}
    scores = {name: released[0] for name, released in held.items()}
    found = {name: row_weighted_mean(scores, name) for name in ADDITIVE}
    found |= _from_histograms(held, resamples=resamples, rng=rng) if one_model else _without_value(held, OWN_MODELS)
    return {name: found[name] for name in METRICS}


def row_weighted_mean(sites: Mapping[str, Scores], name: str) -> Metric:
    """Return the mean over all rows, with the interval of a sum of independent estimates where every site has one."""
    rows = sum(scores.n for scores in sites.values())
    parts = {
        site: scores.metrics.get(name, Metric(None, scores.n, reason="not sent")) for site, scores in sites.items()
    }
    shares = [scores.n / rows for scores in sites.values()]
    values = [part.value for part in parts.values() if part.value is not None]
    if len(values) < len(parts):
        return Metric(None, rows, reason=_first_reason({s: part for s, part in parts.items() if part.value is None}))
    value = float(np.dot(shares, values))
    ends = [(part.low, part.high) for part in parts.values() if part.low is not None and part.high is not None]
    if len(ends) < len(parts):
        return Metric(value, rows, reason=_first_reason({s: part for s, part in parts.items() if part.low is None}))
    below, above = (in_quadrature(shares, values, side) for side in zip(*ends, strict=True))
    return Metric(value, rows, value - below, value + above)


def _first_reason(parts: Mapping[str, Metric]) -> str | None:
    return next((f"{site}: {part.reason}" for site, part in parts.items() if part.reason), None)


def _from_histograms(held: Mapping[str, Released], *, resamples: int, rng: np.random.Generator) -> dict[str, Metric]:
    reason = _unusable(held)
    if reason is not None:
        return _without_value(held, reason)
    histograms = [histogram for _, histogram in held.values() if histogram is not None]
    merged = merge(histograms)
    estimates = {name: histogram_metric(merged, name) for name in HISTOGRAM_METRICS}
    dependent = _dependent(held, merged) if resamples else None
    if dependent is not None:
        return {name: _without_interval(estimate, dependent) for name, estimate in estimates.items()}
    return with_row_intervals(estimates, histograms, resamples=resamples, rng=rng) if resamples else estimates


def _without_value(held: Mapping[str, Released], reason: str) -> dict[str, Metric]:
    rows = sum(scores.n for scores, _ in held.values())
    return {name: Metric(None, rows, reason=reason) for name in HISTOGRAM_METRICS}


def _unusable(held: Mapping[str, Released]) -> str | None:
    if any(histogram is None for _, histogram in held.values()):
        return "no score histograms"
    for site, (scores, histogram) in held.items():
        if histogram is not None and histogram.n != scores.n:
            return f"{site}: score histogram of {histogram.n} rows, scores of {scores.n}"
    return None


def _dependent(held: Mapping[str, Released], merged: ScoreHistogram) -> str | None:
    if any(scores.patients != scores.n for scores, _ in held.values()):
        return "rows of one patient are not independent: no interval"
    if len(merged.counts) > 1:
        return f"score histograms of {len(merged.counts)} classes do not keep rows together: no interval"
    return None


def _without_interval(metric: Metric, reason: str) -> Metric:
    return metric if metric.value is None else Metric(metric.value, metric.n, reason=reason, error=metric.error)
