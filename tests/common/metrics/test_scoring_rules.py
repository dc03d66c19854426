import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as reference_log_loss

from common.metrics.scoring_rules import brier, log_loss


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 5]), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_as_scikit_learn(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet(np.full(classes, 0.3), size=n), rng.integers(classes, size=n)
    weights, labels = rng.uniform(0.1, 2, size=n), np.arange(classes)
    expected = brier_score_loss(y, p, labels=labels, scale_by_half=True, sample_weight=weights)
    assert brier(p, y)(weights) == pytest.approx(expected)
    expected = reference_log_loss(y, p, labels=labels, sample_weight=weights)
    assert log_loss(p, y)(weights) == pytest.approx(expected)


def test_two_classes_give_the_squared_distance_of_the_positive_probability() -> None:
    p1, y = np.array([0.1, 0.7, 1.0]), np.array([0, 0, 1])
    rows = np.stack([1 - p1, p1], axis=1)
    assert brier(rows, y)(np.ones(3)) == pytest.approx(brier_score_loss(y, p1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sure_mistake_costs_what_the_dtype_resolves(dtype: type) -> None:
    p, y = np.array([[1, 0]], dtype=dtype), np.array([1])
    assert log_loss(p, y)(np.ones(1)) == pytest.approx(-np.log(np.finfo(dtype).eps))
    assert log_loss(p, y)(np.ones(1)) == pytest.approx(reference_log_loss(y, p, labels=[0, 1]), rel=1e-6)
