from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.mean_over_sites import mean_over_sites
from common.metrics.types import Metric, Scores

UNIT = st.floats(0, 1)


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    low, value, high = sorted(draw(st.tuples(UNIT, UNIT, UNIT)))
    return Metric(value, draw(st.integers(1, 99)), low, high)


def sites(found: Mapping[str, Metric]) -> dict[str, Scores]:
    return {site: Scores(metric.n, metric.n, {"auroc": metric}) for site, metric in found.items()}


def mean(*found: Metric) -> Metric:
    return mean_over_sites(sites({str(i): metric for i, metric in enumerate(found)}))["auroc"]


@given(st.lists(metrics(), min_size=1, max_size=5))
def test_every_site_counts_the_same_whatever_its_rows(found: list[Metric]) -> None:
    result = mean(*found)
    assert result.value == pytest.approx(np.mean([m.value for m in found]))
    assert result.n == sum(m.n for m in found)
    assert result.reason is None


@given(st.lists(metrics(), min_size=1, max_size=5))
def test_the_interval_combines_distances_in_quadrature(found: list[Metric]) -> None:
    result = mean(*found)
    # MOVER: the distance of the mean's end is the root of the squared distances, over the number of sites.
    below = np.sqrt(sum((m.value - m.low) ** 2 for m in found)) / len(found)
    above = np.sqrt(sum((m.high - m.value) ** 2 for m in found)) / len(found)
    assert (result.low, result.high) == (pytest.approx(result.value - below), pytest.approx(result.value + above))


@given(metrics())
def test_one_site_s_mean_is_its_own_metric(metric: Metric) -> None:
    result = mean(metric)
    assert (result.value, result.low, result.high) == pytest.approx((metric.value, metric.low, metric.high))


@pytest.mark.parametrize("count", [2, 4, 9])
def test_so_many_equal_sites_narrow_the_interval_by_the_root_of_their_number(count: int) -> None:
    result = mean(*[Metric(0.5, 10, 0.4, 0.6)] * count)
    assert result.high is not None
    assert result.high - 0.5 == pytest.approx(0.1 / np.sqrt(count))


def test_the_interval_covers_the_true_mean_as_often_as_the_sites_do() -> None:
    """2,000 draws of three normal estimates with their exact 95 % intervals: 95 % within 3 standard errors (1.5 %)."""
    rng = np.random.default_rng(0)
    truths, errors = np.array([0.6, 0.7, 0.9]), np.array([0.05, 0.02, 0.1])
    hits = 0
    for _ in range(2000):
        drawn = rng.normal(truths, errors)
        result = mean(*[Metric(d, 9, d - 1.96 * e, d + 1.96 * e) for d, e in zip(drawn, errors, strict=True)])
        assert result.low is not None
        assert result.high is not None
        hits += result.low <= truths.mean() <= result.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_sites_without_the_metric_are_left_out_and_counted() -> None:
    known, unknown = Metric(0.5, 10, 0.4, 0.6), Metric(None, 7, reason="one class only")
    result = mean(known, unknown)
    assert (result.value, result.low, result.high, result.n) == (0.5, pytest.approx(0.4), pytest.approx(0.6), 10)
    assert result.reason == "mean of 1 of 2 sites"
    assert mean(unknown, unknown) == Metric(None, 0, reason="no site has it")


def test_a_site_without_an_interval_leaves_the_mean_without_one() -> None:
    result = mean(Metric(0.5, 10, 0.4, 0.6), Metric(0.7, 3))
    assert (result.value, result.low, result.high) == (pytest.approx(0.6), None, None)


def test_metrics_that_only_some_sites_name_are_there() -> None:
    one = Scores(1, 1, {"auroc": Metric(0.5, 1)})
    other = Scores(1, 1, {"auroc": Metric(0.7, 1), "f1": Metric(0.9, 1)})
    assert {name: metric.value for name, metric in mean_over_sites({"a": one, "b": other}).items()} == {
        "auroc": pytest.approx(0.6),
        "f1": 0.9,
    }
