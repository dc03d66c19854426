"""Against Blanchard's definition by brute force over dense products, in float64."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ParticipationError, StudyError
from common.lora_pairs import Pair, as_matrices
from common.plugins import build
from server.aggregation import ClientUpdate
from server.aggregation.multi_krum import MultiKrum, chosen

PAIR = Pair("q")
SEEDS = st.integers(0, 2**32 - 1)


def updates_of(rows: np.ndarray, weights: list[float] | None = None) -> list[ClientUpdate]:
    """One plain tensor per site, a row of `rows`."""
    shares = [1.0] * len(rows) if weights is None else weights
    return [ClientUpdate(f"s{i:02d}", {"x": row}, 1, w) for i, (row, w) in enumerate(zip(rows, shares, strict=True))]


def combined(strategy: MultiKrum, rows: np.ndarray, weights: list[float] | None = None) -> np.ndarray:
    state = {"x": np.zeros(rows.shape[1])}
    return strategy.combine(iter(updates_of(rows, weights)), state).update["x"]


def rows_of(rng: np.random.Generator, count: int, size: int = 6) -> np.ndarray:
    return rng.normal(size=(count, size))


@given(seed=SEEDS, count=st.integers(5, 9), bad=st.integers(1, 2))
def test_krum_never_picks_what_is_far_away(seed: int, count: int, bad: int) -> None:
    if count < 2 * bad + 3:
        return
    rng = np.random.default_rng(seed)
    rows = rows_of(rng, count)
    rows[:bad] += 1e3 * np.sign(rng.normal(size=(bad, 6)))
    for selected in range(1, count - bad + 1):
        assert not chosen(rows @ rows.T, bad, selected)[:bad].any()


@given(seed=SEEDS, count=st.integers(5, 8), m=st.integers(1, 7), n=st.integers(1, 7), r=st.integers(1, 3))
def test_krum_is_brute_force_over_dense_products(seed: int, count: int, m: int, n: int, r: int) -> None:
    """Blanchard et al. 2017: the n - f - 2 nearest are the subset of the others with the least sum."""
    rng, f = np.random.default_rng(seed), 1
    state = {PAIR.a: rng.normal(size=(r, n)), PAIR.b: rng.normal(size=(m, r)), "x": rng.normal(size=2)}
    updates = [
        ClientUpdate(f"s{i}", {k: rng.normal(size=a.shape) for k, a in state.items()}, 1, 1.0) for i in range(count)
    ]

    def dense(each: ClientUpdate) -> np.ndarray:
        a, b = as_matrices({k: state[k] + each.update[k] for k in state}, PAIR)
        return np.concatenate([(b @ a).reshape(-1), state["x"] + each.update["x"]])

    points = [dense(each) for each in updates]
    scores = []
    for i in range(count):
        squares = [float(np.square(points[i] - points[j]).sum()) for j in range(count) if j != i]
        scores.append(min(sum(some) for some in combinations(squares, count - f - 2)))
    best = int(np.argmin(scores))
    made = MultiKrum(byzantine=f, selected=1).combine(iter(updates), state).update
    whole = {k: state[k] + made[k] for k in state}
    a, b = as_matrices(whole, PAIR)
    found = np.concatenate([(b @ a).reshape(-1), whole["x"]])
    np.testing.assert_allclose(found, points[best], atol=1e-11 * (1 + np.abs(points[best]).max()))


@given(seed=SEEDS, count=st.integers(3, 8))
def test_multi_krum_of_all_is_the_unweighted_mean(seed: int, count: int) -> None:
    rows = rows_of(np.random.default_rng(seed), count)
    for options in ({"byzantine": 0}, {"byzantine": 0, "selected": count}):
        np.testing.assert_allclose(combined(MultiKrum(**options), rows), rows.mean(axis=0), atol=1e-12)


def test_updates_of_zero_are_an_update_of_zero() -> None:
    assert not combined(MultiKrum(), np.zeros((5, 4))).any()


def test_equal_sites_give_that_site() -> None:
    row = np.random.default_rng(0).normal(size=4)
    np.testing.assert_allclose(combined(MultiKrum(), np.stack([row] * 6)), row, atol=1e-12)


def test_what_sites_say_of_their_examples_plays_no_part() -> None:
    rows = rows_of(np.random.default_rng(0), 5)
    np.testing.assert_array_equal(*(combined(MultiKrum(), rows, w) for w in ([1.0] * 5, [1e7, 1.0, 2.0, 3.0, 4.0])))


@pytest.mark.parametrize(
    ("strategy", "least"),
    [
        (MultiKrum(), 5),
        (MultiKrum(byzantine=0), 3),
        (MultiKrum(byzantine=2), 7),
        (MultiKrum(byzantine=0, selected=4), 4),
    ],
)
def test_it_says_how_many_sites_it_needs(strategy: MultiKrum, least: int) -> None:
    rows = rows_of(np.random.default_rng(0), least)
    assert np.isfinite(combined(strategy, rows)).all()
    if least > 1:
        with pytest.raises(ParticipationError, match=f"needs {least} accepted updates in a round, and has {least - 1}"):
            combined(strategy, rows[1:])


@pytest.mark.parametrize("options", [{"byzantine": -1}, {"selected": 0}, {"f": 1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(StudyError, match=r"aggregation\.name = 'multi-krum'"):
        build("server.aggregation", "multi-krum", options, key="aggregation.name")


@pytest.mark.parametrize(
    ("byzantine", "selected", "robust"),
    [(1, None, True), (2, 5, True), (0, None, False), (0, 1, False), (1, 4, True), (1, 5, False)],
)
def test_it_is_robust_where_it_always_leaves_out_as_many_as_may_be_bad(
    byzantine: int, selected: int | None, robust: bool
) -> None:
    strategy = MultiKrum(byzantine=byzantine, selected=selected)
    assert ("robust" in strategy.claims) == robust
    most = strategy.least_sites - byzantine if selected is None else selected
    assert robust == (byzantine > 0 and most <= strategy.least_sites - byzantine)
