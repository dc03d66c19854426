"""Fits against scikit-learn's logistic regression, without a penalty; batches against single fits."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from common.metrics.logistic_line import calibration_intercept, expit, fit_line, fit_shift, log_odds


def rows(seed, n=40):
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(), rng.uniform(0.3, 4), n)
    return x, (rng.random(n) < expit(rng.normal() * x + rng.normal())).astype(float)


def reference(x, y, weights):
    """A fraction y is y of a row with label 1 and 1 - y of one with label 0."""
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=100_000)
    labels = np.repeat([1, 0], len(x))
    model.fit(np.concatenate([x, x])[:, None], labels, sample_weight=np.concatenate([weights * y, weights * (1 - y)]))
    return model.coef_[0, 0], model.intercept_[0]


@pytest.mark.parametrize("seed", range(8))
def test_line_is_scikit_learns(seed):
    x, y = rows(seed)
    y = np.clip(y, 0.1, 0.8)  # fractions, as Platt's targets are
    weights = np.random.default_rng(seed).integers(0, 4, len(x)).astype(float)
    assert fit_line(x, y, weights) == pytest.approx(reference(x, y, weights), abs=2e-4)


def test_many_fits_at_once_are_each_alone():
    x, y = rows(1)
    weights = np.random.default_rng(0).integers(0, 3, (20, len(x))).astype(float)
    slopes, intercepts = fit_line(x, y, weights)
    for row, slope, intercept in zip(weights, slopes, intercepts, strict=True):
        assert fit_line(x, y, row) == pytest.approx((slope, intercept), rel=1e-9, nan_ok=True)
    assert np.isfinite(slopes).sum() > 10


def test_weights_count_rows():
    x, y = rows(2)
    twice = np.where(np.arange(len(x)) < 5, 2.0, 1.0)
    joined = fit_line(np.concatenate([x, x[:5]]), np.concatenate([y, y[:5]]), np.ones(len(x) + 5))
    assert np.array(fit_line(x, y, twice)) == pytest.approx(np.array(joined))


@pytest.mark.parametrize("y", [[0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]])
def test_labels_that_a_line_parts_have_no_finite_fit(y):
    assert np.isnan(fit_line(np.arange(4.0), np.array(y, dtype=float), np.ones(4))).all()


def test_shift_makes_the_mean_probability_the_frequency():
    """The score of the intercept: sum of y - expit(x + b) is 0."""
    x, y = rows(3)
    shift = fit_shift(x, y, np.ones(len(x)))
    assert expit(x + shift).mean() == pytest.approx(y.mean())
    assert calibration_intercept(x, y)(np.ones((2, len(x)))) == pytest.approx(np.array([shift, shift]))
    assert np.isnan(fit_shift(x, np.zeros(len(x)), np.ones(len(x))))


def test_log_odds_and_back():
    p = np.array([1e-9, 0.2, 0.5, 0.999])
    assert expit(log_odds(p)) == pytest.approx(p)
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
