"""Against numpy's median; in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ParticipationError, StudyError
from common.plugins import build
from server.aggregation import ClientUpdate
from server.aggregation.median import Median

SEEDS = st.integers(0, 2**32 - 1)


def updates_of(rows: np.ndarray, weights: list[float] | None = None) -> list[ClientUpdate]:
    """One plain tensor per site, a row of `rows`."""
    shares = [1.0] * len(rows) if weights is None else weights
    return [ClientUpdate(f"s{i:02d}", {"x": row}, 1, w) for i, (row, w) in enumerate(zip(rows, shares, strict=True))]


def combined(strategy: Median, rows: np.ndarray, weights: list[float] | None = None) -> np.ndarray:
    state = {"x": np.zeros(rows.shape[1])}
    return strategy.combine(iter(updates_of(rows, weights)), state).update["x"]


def rows_of(rng: np.random.Generator, count: int, size: int = 6) -> np.ndarray:
    return rng.normal(size=(count, size))


@given(seed=SEEDS, count=st.integers(3, 9))
def test_it_is_the_middle_of_the_sorted_column(seed: int, count: int) -> None:
    rows = rows_of(np.random.default_rng(seed), count)
    wanted = [(sorted(c)[(count - 1) // 2] + sorted(c)[count // 2]) / 2 for c in rows.T]
    np.testing.assert_allclose(combined(Median(), rows), wanted, atol=1e-15)


@given(seed=SEEDS, count=st.integers(3, 9), value=st.floats(-1e30, 1e30))
def test_one_arbitrary_site_stays_within_the_others_in_each_coordinate(seed: int, count: int, value: float) -> None:
    rows = rows_of(np.random.default_rng(seed), count)
    rows[0] = value
    found = combined(Median(), rows)
    assert (found >= rows[1:].min(axis=0)).all()
    assert (found <= rows[1:].max(axis=0)).all()


@given(seed=SEEDS, count=st.integers(3, 9))
def test_how_far_away_an_outlier_is_does_not_matter_to_the_median(seed: int, count: int) -> None:
    rows = rows_of(np.random.default_rng(seed), count)
    far, farther = rows.copy(), rows.copy()
    far[0], farther[0] = 1e3, 1e30
    np.testing.assert_array_equal(*(combined(Median(), each) for each in (far, farther)))


def test_updates_of_zero_are_an_update_of_zero() -> None:
    assert not combined(Median(), np.zeros((5, 4))).any()


def test_equal_sites_give_that_site() -> None:
    row = np.random.default_rng(0).normal(size=4)
    np.testing.assert_allclose(combined(Median(), np.stack([row] * 6)), row, atol=1e-12)


def test_what_sites_say_of_their_examples_plays_no_part() -> None:
    rows = rows_of(np.random.default_rng(0), 5)
    np.testing.assert_array_equal(*(combined(Median(), rows, w) for w in ([1.0] * 5, [1e7, 1.0, 2.0, 3.0, 4.0])))


@pytest.mark.parametrize(("strategy", "least"), [(Median(), 3)])
def test_it_says_how_many_sites_it_needs(strategy: Median, least: int) -> None:
    rows = rows_of(np.random.default_rng(0), least)
    assert np.isfinite(combined(strategy, rows)).all()
    if least > 1:
        with pytest.raises(ParticipationError, match=f"needs {least} accepted updates in a round, and has {least - 1}"):
            combined(strategy, rows[1:])


@pytest.mark.parametrize("options", [{"f": 1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(StudyError, match=r"aggregation\.name = 'median'"):
        build("server.aggregation", "median", options, key="aggregation.name")
