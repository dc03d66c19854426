"""Intervals of histogram metrics by a bootstrap of rows within sites.

Sites are strata: each keeps its number of rows. It takes every row as independent of the others, which holds where
each patient has one row. Only for one curve: the curves of more classes do not say which counts are the same row's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from common.metrics.bootstrap import interval
from common.metrics.histogram_metrics import HISTOGRAM_METRICS
from common.metrics.types import Floats, Metric, ScoreHistogram

_CHUNK: Final = 200  # resamples at once: 3 MB of counts


def with_row_intervals(
    estimates: Mapping[str, Metric], histograms: Sequence[ScoreHistogram], *, resamples: int, rng: np.random.Generator
) -> dict[str, Metric]:
    """Return the estimates (of the merged histogram, by name) with 95 % percentile intervals where they have a value.

    histograms: one of each site, of one curve and not empty. resamples: 0 gives no intervals.
    """
    found: dict[str, list[Floats]] = {name: [np.empty(0)] for name in estimates}
    for counts in resampled_counts(histograms, resamples=resamples, rng=rng):
        for name in estimates:
            found[name].append(HISTOGRAM_METRICS[name].formula(counts))
    return {name: _completed(estimate, np.concatenate(found[name])) for name, estimate in estimates.items()}


def resampled_counts(
    histograms: Sequence[ScoreHistogram], *, resamples: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield merged counts (some resamples, 2, BINS) of rows drawn with replacement within each histogram."""
    for start in range(0, resamples, _CHUNK):
        draws = min(_CHUNK, resamples - start)
        total = np.zeros((draws, histograms[0].counts.size))
        for histogram in histograms:
            flat = histogram.counts.reshape(-1)
            filled = np.flatnonzero(flat)
            total[:, filled] += rng.multinomial(histogram.n, flat[filled] / histogram.n, size=draws)
        yield total.reshape(draws, *histograms[0].counts.shape[1:])


def _completed(estimate: Metric, replicates: Floats) -> Metric:
    if estimate.value is None:
        return estimate
    found = interval(estimate.value, replicates, rows=estimate.n, units=estimate.n, unit="patient")
    return Metric(estimate.value, estimate.n, found.low, found.high, found.reason, estimate.error)
