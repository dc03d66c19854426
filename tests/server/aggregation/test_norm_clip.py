"""Against clipping by hand, in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ParticipationError, StudyError
from common.plugins import build
from server.aggregation import ClientUpdate
from server.aggregation.norm_clip import NormClip, clip_factors

SEEDS = st.integers(0, 2**32 - 1)


def updates_of(rows: np.ndarray, weights: list[float] | None = None) -> list[ClientUpdate]:
    """One plain tensor per site, a row of `rows`."""
    shares = [1.0] * len(rows) if weights is None else weights
    return [ClientUpdate(f"s{i:02d}", {"x": row}, 1, w) for i, (row, w) in enumerate(zip(rows, shares, strict=True))]


def combined(strategy: NormClip, rows: np.ndarray, weights: list[float] | None = None) -> np.ndarray:
    state = {"x": np.zeros(rows.shape[1])}
    return strategy.combine(iter(updates_of(rows, weights)), state).update["x"]


def rows_of(rng: np.random.Generator, count: int, size: int = 6) -> np.ndarray:
    return rng.normal(size=(count, size))


@given(seed=SEEDS, bound=st.floats(0.01, 10))
def test_clipping_bounds_the_norm_and_nothing_else(seed: int, bound: float) -> None:
    rng = np.random.default_rng(seed)
    rows, weights = rows_of(rng, 5), rng.uniform(0.5, 1.5, size=5)
    clipped = np.stack([row * min(1.0, bound / float(np.linalg.norm(row))) for row in rows])
    found = combined(NormClip(clip_norm=bound), rows, weights.tolist())
    np.testing.assert_allclose(found, weights @ clipped / weights.sum(), atol=1e-12)
    assert np.linalg.norm(found) <= bound * (1 + 1e-12)
    no_bound = combined(NormClip(clip_norm=1e300), rows, weights.tolist())
    np.testing.assert_allclose(no_bound, weights @ rows / weights.sum(), atol=1e-12)  # C = infinity is FedAvg


@given(st.lists(st.just(0.0) | st.floats(1e-5, 1e3), min_size=2, max_size=9), st.floats(1e3, 1e300))
def test_a_minority_does_not_raise_the_clipping_norm(norms: list[float], far: float) -> None:
    """By factors down to 1e-305: below 2e-308 float64 has few digits."""
    good = np.array(norms)
    bad = np.full(len(good) - 1, far)
    assert (clip_factors(np.concatenate([good, bad]), None) * np.concatenate([good, bad])).max() <= good.max() * 1.0001


def test_updates_of_zero_are_an_update_of_zero() -> None:
    assert not combined(NormClip(), np.zeros((5, 4))).any()


def test_equal_sites_give_that_site() -> None:
    row = np.random.default_rng(0).normal(size=4)
    np.testing.assert_allclose(combined(NormClip(), np.stack([row] * 6)), row, atol=1e-12)


@pytest.mark.parametrize(("strategy", "least"), [(NormClip(), 2), (NormClip(clip_norm=1.0), 1)])
def test_it_says_how_many_sites_it_needs(strategy: NormClip, least: int) -> None:
    rows = rows_of(np.random.default_rng(0), least)
    assert np.isfinite(combined(strategy, rows)).all()
    if least > 1:
        with pytest.raises(ParticipationError, match=f"needs {least} accepted updates in a round, and has {least - 1}"):
            combined(strategy, rows[1:])


@pytest.mark.parametrize("options", [{"clip_norm": 0.0}, {"bound": 1.0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(StudyError, match=r"aggregation\.name = 'norm-clip'"):
        build("server.aggregation", "norm-clip", options, key="aggregation.name")


def test_it_is_robust_where_the_bound_is_the_sites_own() -> None:
    assert "robust" in NormClip().claims
    assert "robust" not in NormClip(clip_norm=1e9).claims
