"""Against the cost that it minimises and its breakdown point, in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ParticipationError, StudyError
from common.plugins import build
from server.aggregation import ClientUpdate
from server.aggregation.geometric_median import GeometricMedian, distances, weiszfeld

SEEDS = st.integers(0, 2**32 - 1)


def updates_of(rows: np.ndarray, weights: list[float] | None = None) -> list[ClientUpdate]:
    """One plain tensor per site, a row of `rows`."""
    shares = [1.0] * len(rows) if weights is None else weights
    return [ClientUpdate(f"s{i:02d}", {"x": row}, 1, w) for i, (row, w) in enumerate(zip(rows, shares, strict=True))]


def combined(strategy: GeometricMedian, rows: np.ndarray, weights: list[float] | None = None) -> np.ndarray:
    state = {"x": np.zeros(rows.shape[1])}
    return strategy.combine(iter(updates_of(rows, weights)), state).update["x"]


def rows_of(rng: np.random.Generator, count: int, size: int = 6) -> np.ndarray:
    return rng.normal(size=(count, size))


@given(seed=SEEDS, count=st.integers(3, 8))
def test_the_geometric_median_has_no_better_point_near_it(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows, weights = rows_of(rng, count, 3), rng.uniform(0.5, 1.5, size=count)

    def cost(z: np.ndarray) -> float:
        return float(weights @ np.linalg.norm(rows - z, axis=1))

    found = combined(GeometricMedian(), rows, weights.tolist())
    best = cost(found)
    for step in (1e-1, 1e-2, 1e-3):
        assert all(cost(found + step * direction) > best - 1e-6 for direction in rng.normal(size=(20, 3)))
    assert best <= min(cost(row) for row in rows) + 1e-6


@given(seed=SEEDS)
def test_one_weiszfeld_step_is_the_paper_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, weights = rows_of(rng, 5), rng.uniform(0.5, 1.5, size=5)
    shares = weights / weights.sum()
    away = np.linalg.norm(rows - shares @ rows, axis=1)
    pulls = shares / np.maximum(0.5, away)
    np.testing.assert_allclose(distances(rows @ rows.T, shares), away, atol=1e-12)
    np.testing.assert_allclose(
        weiszfeld(rows @ rows.T, weights, smoothing=0.5, steps=1), pulls / pulls.sum(), atol=1e-12
    )


@given(seed=SEEDS, bad=st.integers(1, 3), far=st.sampled_from([1e2, 1e6, 1e15, 1e30]))
def test_less_than_half_of_the_weight_cannot_move_the_geometric_median_far(seed: int, bad: int, far: float) -> None:
    rows = rows_of(np.random.default_rng(seed), 7)
    rows[:bad] = far
    # Lopuhaa and Rousseeuw 1991: |z - any good point| <= 2 R (1 - a) / (1 - 2 a) for bad share a, good ones within R.
    radius = np.linalg.norm(rows[bad:], axis=1).max()
    bound = 2 * radius * (7 - bad) / (7 - 2 * bad)
    assert np.linalg.norm(combined(GeometricMedian(), rows)) <= bound


def test_half_of_the_weight_can() -> None:
    rows = np.zeros((5, 1))
    rows[:3] = 1e9
    assert combined(GeometricMedian(), rows)[0] > 1e8


def test_updates_of_zero_are_an_update_of_zero() -> None:
    assert not combined(GeometricMedian(), np.zeros((5, 4))).any()


def test_equal_sites_give_that_site() -> None:
    row = np.random.default_rng(0).normal(size=4)
    np.testing.assert_allclose(combined(GeometricMedian(), np.stack([row] * 6)), row, atol=1e-12)


@pytest.mark.parametrize(("strategy", "least"), [(GeometricMedian(), 3)])
def test_it_says_how_many_sites_it_needs(strategy: GeometricMedian, least: int) -> None:
    rows = rows_of(np.random.default_rng(0), least)
    assert np.isfinite(combined(strategy, rows)).all()
    if least > 1:
        with pytest.raises(ParticipationError, match=f"needs {least} accepted updates in a round, and has {least - 1}"):
            combined(strategy, rows[1:])


@pytest.mark.parametrize("options", [{"smoothing": 0.0}, {"steps": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(StudyError, match=r"aggregation\.name = 'geometric-median'"):
        build("server.aggregation", "geometric-median", options, key="aggregation.name")
