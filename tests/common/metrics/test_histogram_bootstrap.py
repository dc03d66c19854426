import numpy as np
import pytest

from common.metrics.evaluation import evaluate
from common.metrics.histogram import merge, score_histogram
from common.metrics.histogram_bootstrap import resampled_counts, with_row_intervals
from common.metrics.histogram_metrics import HISTOGRAM_METRICS, histogram_metric


def _site(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    p1 = 1 / (1 + np.exp(-(y + rng.normal(size=n))))
    return np.stack([1 - p1, p1], axis=1), y


def test_each_site_keeps_its_rows_and_cells() -> None:
    histograms = [score_histogram(*_site(seed, n), classes=2) for seed, n in ((0, 7), (1, 40))]
    counts = np.concatenate(list(resampled_counts(histograms, resamples=450, rng=np.random.default_rng(0))))
    assert counts.shape == (450, *histograms[0].counts.shape[1:])
    assert (counts.sum(axis=(1, 2)) == 47).all()
    assert (counts[:, merge(histograms).counts[0] == 0] == 0).all()
    np.testing.assert_allclose(counts.mean(axis=0), merge(histograms).counts[0], atol=0.3)


def test_one_site_agrees_with_the_bootstrap_of_its_rows() -> None:
    p, y = _site(0, 120)
    histogram = score_histogram(p, y, classes=2)
    estimates = {name: histogram_metric(histogram, name) for name in HISTOGRAM_METRICS}
    found = with_row_intervals(estimates, [histogram], resamples=2000, rng=np.random.default_rng(0))
    rows = evaluate(p, y, [str(i) for i in range(120)], resamples=2000, rng=np.random.default_rng(1)).metrics
    for name, metric in found.items():
        assert [metric.low, metric.high] == pytest.approx([rows[name].low, rows[name].high], abs=0.015), name
        assert metric.error == estimates[name].error
