from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score

from common.metrics.evaluation import METRICS, evaluate
from common.metrics.histogram import score_histogram
from common.metrics.histogram_metrics import HISTOGRAM_METRICS
from common.metrics.pooled import ADDITIVE, Released, pool
from common.metrics.types import Metric

Site = tuple[np.ndarray, np.ndarray]


def _rows(rng: np.random.Generator, n: int, classes: int = 2) -> Site:
    y = rng.integers(classes, size=n)
    logits = np.eye(classes)[y] * rng.uniform(0, 2) + rng.normal(size=(n, classes))
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True), y


def _release(site: Site, *, resamples: int = 0, per_patient: int = 1, histogram: bool = True) -> Released:
    p, y = site
    patients = [str(i // per_patient) for i in range(len(y))]
    scores = evaluate(p, y, patients, resamples=resamples, rng=np.random.default_rng(0))
    return scores, score_histogram(p, y, classes=p.shape[1]) if histogram else None


def _pool(sites: dict[str, Released], resamples: int = 0) -> dict[str, Metric]:
    return pool(sites, resamples=resamples, rng=np.random.default_rng(0))


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), min_size=1, max_size=5), st.sampled_from([2, 3]))
@settings(max_examples=60, deadline=None)
def test_as_the_rows_of_all_sites_together(seed: int, sizes: list[int], classes: int) -> None:
    rng = np.random.default_rng(seed)
    sites = {str(i): _rows(rng, n, classes) for i, n in enumerate(sizes)}
    union = (np.vstack([p for p, _ in sites.values()]), np.concatenate([y for _, y in sites.values()]))
    expected = _release(union)[0].metrics
    found = _pool({name: _release(site) for name, site in sites.items()})
    assert tuple(found) == METRICS
    for name, metric in found.items():
        true = expected[name].value
        assert metric.n == sum(sizes)
        if metric.value is None:
            assert metric.reason == expected[name].reason or "classes do not tell" in (metric.reason or "")
        else:
            assert abs(metric.value - true) <= (metric.error or 0) + 1e-12, name
        assert (metric.error is None) == (name not in ("auroc", "auprc", "calibration_error") or metric.value is None)


def test_as_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    sites = {name: _rows(rng, n) for name, n in (("a", 30), ("b", 80), ("c", 5))}
    p1, y = np.concatenate([p[:, 1] for p, _ in sites.values()]), np.concatenate([y for _, y in sites.values()])
    found = _pool({name: _release(site) for name, site in sites.items()})
    assert found["brier"].value == pytest.approx(brier_score_loss(y, p1))
    assert found["f1"].value == pytest.approx(f1_score(y, p1 > 0.5))
    assert found["auroc"].value == pytest.approx(roc_auc_score(y, p1), abs=(found["auroc"].error or 0) + 1e-12)


def test_the_order_of_sites_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    sites = {name: _release(_rows(rng, 20), resamples=50) for name in "abc"}
    assert _pool(sites, resamples=50) == _pool(dict(reversed(sites.items())), resamples=50)


def test_intervals_agree_with_the_bootstrap_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    sites = {name: _rows(rng, 150) for name in "abc"}
    union = (np.vstack([p for p, _ in sites.values()]), np.concatenate([y for _, y in sites.values()]))
    expected = _release(union, resamples=1000)[0].metrics
    found = _pool({name: _release(site, resamples=1000) for name, site in sites.items()}, resamples=1000)
    for name, metric in found.items():
        assert [metric.low, metric.high] == pytest.approx([expected[name].low, expected[name].high], abs=0.03), name


def test_rows_of_one_patient_leave_no_row_bootstrap() -> None:
    rng = np.random.default_rng(0)
    sites = {"a": _release(_rows(rng, 30), resamples=50), "b": _release(_rows(rng, 30), resamples=50, per_patient=2)}
    found = _pool(sites, resamples=50)
    assert found["auroc"].value is not None
    assert found["auroc"].low is None
    assert found["auroc"].reason == "rows of one patient are not independent: no interval"
    assert found["brier"].low is not None  # the sites' own intervals are over patients


def test_more_classes_leave_no_row_bootstrap() -> None:
    found = _pool({"a": _release(_rows(np.random.default_rng(0), 30, 3))}, resamples=50)
    assert found["auroc"].reason == "score histograms of 3 classes do not keep rows together: no interval"


def test_one_site_without_histogram_leaves_the_additive_metrics() -> None:
    rng = np.random.default_rng(0)
    found = _pool({"a": _release(_rows(rng, 9)), "b": _release(_rows(rng, 9), histogram=False)})
    assert {found[name].reason for name in HISTOGRAM_METRICS} == {"no score histograms"}
    assert all(found[name].value is not None for name in ADDITIVE)


def test_a_site_without_rows_need_release_nothing() -> None:
    rng = np.random.default_rng(0)
    full, empty = _release(_rows(rng, 9)), _release(_rows(rng, 0), histogram=False)
    assert _pool({"a": full, "b": empty}) == _pool({"a": full})
    assert {metric.reason for metric in _pool({"b": empty}).values()} == {"no rows"}


def test_a_histogram_of_other_rows_is_named() -> None:
    rng = np.random.default_rng(0)
    scores, _ = _release(_rows(rng, 9))
    found = _pool({"a": (scores, _release(_rows(rng, 8))[1])})
    assert found["auroc"].reason == "a: score histogram of 8 rows, scores of 9"


def test_a_metric_that_a_site_lacks_is_null_and_names_the_site() -> None:
    released = _release(_rows(np.random.default_rng(0), 9))
    silent = replace(released[0], metrics={})
    assert _pool({"a": released, "b": (silent, released[1])})["brier"].reason == "b: not sent"


def test_an_interval_in_quadrature() -> None:
    # Two sites of 1 and 3 rows: 0.25 * 0.4 + 0.75 * 0.8 = 0.7; below 0.25 * 0.4 = 0.1 and 0.75 * 0.2 = 0.15.
    a = (_scores(1, Metric(0.4, 1, 0.0, 0.4)), None)
    b = (_scores(3, Metric(0.8, 3, 0.6, 1.0)), None)
    found = _pool({"a": a, "b": b}, resamples=10)["brier"]
    assert found.value == pytest.approx(0.7)
    assert found.low == pytest.approx(0.7 - np.hypot(0.1, 0.15))
    assert found.high == pytest.approx(0.7 + 0.15)


def _scores(n: int, metric: Metric):
    return replace(_release(_rows(np.random.default_rng(0), n))[0], metrics=dict.fromkeys(METRICS, metric))
