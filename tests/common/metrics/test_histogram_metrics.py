import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from common.metrics.bins import bin_of
from common.metrics.evaluation import evaluate
from common.metrics.histogram import score_histogram
from common.metrics.histogram_metrics import HISTOGRAM_METRICS, histogram_metric

SEEDS = st.integers(0, 2**32 - 1)


def _clustered(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a model whose probabilities crowd together (scale small) or saturate (scale large), some tied."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 80))
    logits = rng.normal(size=(n, classes)) * 10 ** rng.uniform(-4, 2)
    logits = logits[rng.integers(n, size=n)] if rng.uniform() < 0.3 else logits
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True), rng.integers(classes, size=n)


@given(SEEDS, st.sampled_from([2, 3, 5]))
@settings(max_examples=60, deadline=None)
def test_within_the_stated_error_of_the_rows(seed: int, classes: int) -> None:
    p, y = _clustered(seed, classes)
    exact = evaluate(p, y, [str(i) for i in range(len(y))], resamples=0, rng=np.random.default_rng(0)).metrics
    histogram = score_histogram(p, y, classes=classes)
    for name in HISTOGRAM_METRICS:
        found, true = histogram_metric(histogram, name), exact[name].value
        if classes > 2 and name in ("f1", "balanced_accuracy"):
            assert found.reason == f"score histograms of {classes} classes do not tell it"
        elif true is None or found.value is None:
            assert (found.value, found.reason) == (true, exact[name].reason)
        else:
            assert abs(found.value - true) <= (found.error or 0) + 1e-12, name


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_ranking_is_scikit_learns_of_binned_scores(seed: int) -> None:
    p, y = _clustered(seed, 2)
    if len(set(y)) < 2:
        return
    histogram, bins = score_histogram(p, y, classes=2), bin_of(p[:, 1])
    assert histogram_metric(histogram, "auroc").value == pytest.approx(roc_auc_score(y, bins))
    assert histogram_metric(histogram, "auprc").value == pytest.approx(average_precision_score(y, bins))


def test_the_error_is_half_the_share_of_pairs_in_one_bin() -> None:
    # Two positives and two negatives; one pair of the four shares a bin: 1/2 * 1/4.
    p1, y = np.array([0.2, 0.30001, 0.30002, 0.9]), np.array([0, 0, 1, 1])
    assert histogram_metric(score_histogram(np.stack([1 - p1, p1], axis=1), y, classes=2), "auroc").error == 0.125


def test_scores_spread_out_leave_little_error() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    p1 = 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=400))))
    found = histogram_metric(score_histogram(np.stack([1 - p1, p1], axis=1), y, classes=2), "auroc")
    assert found.error is not None
    assert found.error < 0.001


def test_no_rows() -> None:
    histogram = score_histogram(np.empty((0, 2)), np.empty(0, dtype=np.int64), classes=2)
    assert {histogram_metric(histogram, name).reason for name in HISTOGRAM_METRICS} == {"no rows"}
