"""Maps against independent fits; what they do to test rows against the metrics themselves."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from common.errors import SchemaError
from common.metrics.logistic_line import expit, log_odds
from common.metrics.recalibration import Recalibration, fit_map, platt_targets, recalibrate, tempered


def two_classes(seed, n, *, sharper=1.0):
    """Labels drawn with log odds z; the model says `sharper` times as much."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.3, 1.5, n)
    p = expit(sharper * z)
    return np.stack([1 - p, p], axis=1), (rng.random(n) < expit(z)).astype(np.int64)


def three_classes(seed, n, sharper):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.2, (n, 3))
    true = tempered(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 1.0)
    labels = np.array([rng.choice(3, p=row) for row in true])
    return tempered(true, 1 / sharper), labels


def patients(n):
    return [str(i) for i in range(n)]


def test_platts_line_is_scikit_learns_on_platts_targets():
    p, labels = two_classes(0, 60)
    targets, x = platt_targets(labels), log_odds(p[:, 1])
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=100_000)
    model.fit(
        np.concatenate([x, x])[:, None],
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([targets, 1 - targets]),
    )
    found = fit_map(p, labels)
    assert found.parameters == pytest.approx({"slope": model.coef_[0, 0], "intercept": model.intercept_[0]}, abs=1e-4)


def test_platts_targets_give_a_line_where_labels_are_parted():
    p = np.linspace(0.01, 0.99, 20)
    found = fit_map(np.stack([1 - p, p], axis=1), (p > 0.5).astype(np.int64))
    assert 0 < found.parameters["slope"] < 10


def test_the_temperature_is_that_of_the_smallest_loss():
    p, labels = three_classes(1, 400, sharper=2.5)
    logs = np.log(p)

    def loss(beta):
        scaled = beta[0] * logs
        return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels]).mean())

    best = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14}).x[0]
    assert fit_map(p, labels).parameters["temperature"] == pytest.approx(1 / best, rel=1e-5)


def test_a_model_that_is_too_sure_is_mended():
    validation, test = two_classes(2, 2000, sharper=3.0), two_classes(3, 1500, sharper=3.0)
    found = recalibrate(validation, test, patients(1500), resamples=50, rng=np.random.default_rng(0))
    assert found.before["calibration_slope"].value == pytest.approx(1 / 3, abs=0.05)
    assert found.after["calibration_slope"].value == pytest.approx(1, abs=0.15)
    for name in ("log_loss", "brier", "calibration_error"):
        assert found.change[name].high < 0
        assert found.change[name].value == pytest.approx(found.after[name].value - found.before[name].value)


def test_metrics_before_and_after_are_scikit_learns():
    validation, test = two_classes(4, 80, sharper=2.0), two_classes(5, 70, sharper=2.0)
    found = recalibrate(validation, test, patients(70), resamples=0, rng=np.random.default_rng(0))
    after = found.map.apply(test[0])
    for part, p in ((found.before, test[0]), (found.after, after)):
        assert part["log_loss"].value == pytest.approx(log_loss(test[1], p[:, 1]))
        assert part["brier"].value == pytest.approx(brier_score_loss(test[1], p[:, 1]))
    assert (np.argsort(after[:, 1]) == np.argsort(test[0][:, 1])).all()  # the order of rows stays


def test_more_classes_have_no_slope():
    validation, test = three_classes(6, 200, 2.0), three_classes(7, 200, 2.0)
    found = recalibrate(validation, test, patients(200), resamples=0, rng=np.random.default_rng(0))
    assert set(found.before) == {"calibration_error", "brier", "log_loss"}
    assert found.change["log_loss"].value < 0


@pytest.mark.parametrize(
    ("validation", "test", "reason"),
    [
        (two_classes(0, 9), two_classes(1, 30), "fewer than 10 validation rows"),
        ((np.full((20, 2), 0.5), np.ones(20, dtype=np.int64)), two_classes(1, 30), "one class only among the valid"),
        ((np.full((20, 2), np.nan), np.arange(20) % 2), two_classes(1, 30), "not finite"),
        (two_classes(0, 30), (np.full((20, 2), np.nan), np.arange(20) % 2), "not finite"),
        (two_classes(0, 30), (np.empty((0, 2)), np.empty(0, dtype=np.int64)), "no test rows"),
    ],
)
def test_where_there_is_no_map_it_says_why(validation, test, reason):
    found = recalibrate(validation, test, patients(len(test[1])), resamples=5, rng=np.random.default_rng(0))
    assert reason in found.reason
    assert found.map is None
    assert Recalibration.from_json(found.to_json()) == found


def test_test_rows_of_one_class_have_no_slope_and_say_why():
    p, _ = two_classes(1, 30)
    found = recalibrate(
        two_classes(0, 50), (p, np.ones(30, dtype=np.int64)), patients(30), resamples=0, rng=np.random.default_rng(0)
    )
    assert found.before["calibration_slope"].value is None
    assert "one class" in found.before["calibration_slope"].reason


def test_it_survives_its_own_json_and_nothing_else_does():
    found = recalibrate(two_classes(0, 40), two_classes(1, 30), patients(30), resamples=5, rng=np.random.default_rng(0))
    content = found.to_json()
    assert Recalibration.from_json(content) == found
    for change in (
        {"rows": "many"},
        {"reason": 3},
        {"method": "other"},
        {"parameters": {"slope": float("nan"), "intercept": 0.0}},
        {"before": {"auroc": content["before"]["brier"]}},
        {"more": 1},
    ):
        with pytest.raises(SchemaError):
            Recalibration.from_json({**content, **change})


def test_the_slope_after_a_line_is_the_slope_of_what_it_makes():
    from common.metrics.logistic_line import fit_line

    validation, test = two_classes(8, 60, sharper=2.0), two_classes(9, 70, sharper=2.0)
    found = recalibrate(validation, test, patients(70), resamples=50, rng=np.random.default_rng(0))
    slope, _ = fit_line(log_odds(found.map.apply(test[0])[:, 1]), test[1].astype(float), np.ones(70))
    assert found.after["calibration_slope"].value == pytest.approx(float(slope))
    assert found.after["calibration_slope"].low < slope < found.after["calibration_slope"].high
