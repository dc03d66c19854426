import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from common.metrics.over_seeds import over_seeds, t_quantile


@given(st.integers(1, 400), st.floats(0.01, 0.999))
@settings(max_examples=60, deadline=None)
def test_t_quantile_as_scipy(degrees: int, level: float) -> None:
    assert t_quantile(degrees, level=level) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees), rel=1e-8)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
@settings(max_examples=60, deadline=None)
def test_interval_as_scipy(values: list[float]) -> None:
    found = over_seeds(values)
    spread = stats.sem(values)
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), spread) if spread else [np.mean(values)] * 2
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-9)
    assert found.n == len(values)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_an_interval_holds_only_values_that_there_are(values: list[float]) -> None:
    free, cut = over_seeds(values), over_seeds(values, within=(0, 1))
    assert free.low is not None
    assert free.high is not None
    assert (cut.value, cut.low, cut.high) == (free.value, max(0, free.low), min(1, free.high))


def test_one_seed_has_no_interval() -> None:
    found = over_seeds([0.8])
    assert (found.value, found.low, found.high, found.reason) == (0.8, None, None, "one seed: no interval")


def test_no_seed_has_no_value() -> None:
    assert over_seeds([]).reason == "no seeds"
