"""Against sorted columns in plain numpy, in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ParticipationError, StudyError
from common.plugins import build
from server.aggregation import ClientUpdate
from server.aggregation.median import Median
from server.aggregation.trimmed_mean import TrimmedMean

SEEDS = st.integers(0, 2**32 - 1)


def updates_of(rows: np.ndarray, weights: list[float] | None = None) -> list[ClientUpdate]:
    """One plain tensor per site, a row of `rows`."""
    shares = [1.0] * len(rows) if weights is None else weights
    return [ClientUpdate(f"s{i:02d}", {"x": row}, 1, w) for i, (row, w) in enumerate(zip(rows, shares, strict=True))]


def combined(strategy: TrimmedMean | Median, rows: np.ndarray, weights: list[float] | None = None) -> np.ndarray:
    state = {"x": np.zeros(rows.shape[1])}
    return strategy.combine(iter(updates_of(rows, weights)), state).update["x"]


def rows_of(rng: np.random.Generator, count: int, size: int = 6) -> np.ndarray:
    return rng.normal(size=(count, size))


@given(seed=SEEDS, count=st.integers(3, 9))
def test_trimmed_mean_is_the_mean_of_the_sorted_middle(seed: int, count: int) -> None:
    rows = rows_of(np.random.default_rng(seed), count)
    gone = min(-(-count // 5), (count - 1) // 2)  # ceil(0.2 K), and at most down to the median
    wanted = [np.mean(sorted(column)[gone : count - gone]) for column in rows.T]
    np.testing.assert_allclose(combined(TrimmedMean(trim=0.2), rows), wanted, atol=1e-12)
    np.testing.assert_allclose(combined(TrimmedMean(trim=0.0), rows), rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(combined(TrimmedMean(trim=0.499), rows), combined(Median(), rows), atol=1e-12)


@given(seed=SEEDS, count=st.integers(3, 9), value=st.floats(-1e30, 1e30))
def test_one_arbitrary_site_stays_within_the_others_in_each_coordinate(seed: int, count: int, value: float) -> None:
    rows = rows_of(np.random.default_rng(seed), count)
    rows[0] = value
    found = combined(TrimmedMean(trim=0.34), rows)
    assert (found >= rows[1:].min(axis=0)).all()
    assert (found <= rows[1:].max(axis=0)).all()


def test_inputs_are_float32_and_the_arithmetic_is_not() -> None:
    state = {"x": np.float32([0])}
    rows = np.float32([[1], [1 + 2**-23], [2]])
    updates = [ClientUpdate(f"s{i}", {"x": row}, 1, 1.0) for i, row in enumerate(rows)]
    found = TrimmedMean(trim=0.0).combine(iter(updates), state).update["x"]
    assert found.dtype == np.float64
    assert found[0] == pytest.approx((4 + 2**-23) / 3, abs=1e-15)


def test_updates_of_zero_are_an_update_of_zero() -> None:
    assert not combined(TrimmedMean(), np.zeros((5, 4))).any()


def test_equal_sites_give_that_site() -> None:
    row = np.random.default_rng(0).normal(size=4)
    np.testing.assert_allclose(combined(TrimmedMean(), np.stack([row] * 6)), row, atol=1e-12)


def test_what_sites_say_of_their_examples_plays_no_part() -> None:
    rows = rows_of(np.random.default_rng(0), 5)
    np.testing.assert_array_equal(*(combined(TrimmedMean(), rows, w) for w in ([1.0] * 5, [1e7, 1.0, 2.0, 3.0, 4.0])))


@pytest.mark.parametrize(("strategy", "least"), [(TrimmedMean(), 3), (TrimmedMean(trim=0.0), 1)])
def test_it_says_how_many_sites_it_needs(strategy: TrimmedMean, least: int) -> None:
    rows = rows_of(np.random.default_rng(0), least)
    assert np.isfinite(combined(strategy, rows)).all()
    if least > 1:
        with pytest.raises(ParticipationError, match=f"needs {least} accepted updates in a round, and has {least - 1}"):
            combined(strategy, rows[1:])


@pytest.mark.parametrize("options", [{"trim": 0.5}, {"trim": -0.1}, {"f": 1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(StudyError, match=r"aggregation\.name = 'trimmed-mean'"):
        build("server.aggregation", "trimmed-mean", options, key="aggregation.name")


@pytest.mark.parametrize("trim", [0.0, 0.01, 0.3])
def test_it_is_robust_where_anything_is_cut_off(trim: float) -> None:
    (moved,) = TrimmedMean(trim=trim).combine(updates_of(np.array([[0.0]] * 4 + [[1e9]])), {}).update.values()
    assert (moved.item() == 0.0) == ("robust" in TrimmedMean(trim=trim).claims) == (trim > 0)
