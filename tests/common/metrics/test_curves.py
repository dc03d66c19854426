import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve as reference_calibration
from sklearn.metrics import auc
from sklearn.metrics import roc_curve as reference_roc

from common.metrics.bins import EDGES, bin_of
from common.metrics.curves import calibration_curve, roc_curve
from common.metrics.histogram import score_histogram
from common.metrics.histogram_metrics import histogram_metric

SEEDS = st.integers(0, 2**32 - 1)


def _rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    p1 = rng.uniform(size=n) ** rng.uniform(0.2, 4)
    return np.stack([1 - p1, p1], axis=1), np.concatenate([[0, 1], rng.integers(2, size=n - 2)])


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_roc_encloses_the_auroc_and_runs_through_scikit_learns_points(seed: int) -> None:
    p, y = _rows(seed)
    histogram = score_histogram(p, y, classes=2)
    curve = roc_curve(histogram)
    assert curve is not None
    x, h = curve.false_positive_rate, curve.true_positive_rate
    assert (x[0], h[0], x[-1], h[-1]) == pytest.approx((0, 0, 1, 1))
    assert auc(x, h) == pytest.approx(histogram_metric(histogram, "auroc").value)
    fpr, tpr, _ = reference_roc(y, bin_of(p[:, 1]), drop_intermediate=False)
    np.testing.assert_allclose([x, h], [fpr, tpr])


def test_no_roc_of_one_class() -> None:
    assert roc_curve(score_histogram(np.array([[0.2, 0.8]]), np.array([1]), classes=2)) is None


@given(SEEDS, st.sampled_from([5, 10]))
@settings(max_examples=60, deadline=None)
def test_calibration_as_scikit_learn(seed: int, bins: int) -> None:
    p, y = _rows(seed)
    found = calibration_curve(score_histogram(p, y, classes=2), bins=bins)
    observed, predicted = reference_calibration(y, p[:, 1], n_bins=bins)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.probability, predicted, atol=np.diff(EDGES).max() / 2)
    assert found.rows.sum() == len(y)
