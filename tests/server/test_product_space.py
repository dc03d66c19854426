"""Against dense products in float64, on odd shapes; a gauge changes nothing here and everything in a plain mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import plugins
from common.lora_pairs import Pair, as_matrices
from common.state import AdapterState
from server.aggregation import ClientUpdate, Strategy
from server.product_space import change, combined, gram, square_distances, square_norms

PAIRS = (Pair("q"), Pair("v"))
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 4))
"""m, n, r: square and not, r = 1, and more ranks than a matrix has."""
PRODUCT_SPACE = ("norm-clip", "multi-krum", "geometric-median")
FACTOR_SPACE = ("fedavg", "median", "trimmed-mean")


def random_state(rng: np.random.Generator, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    m, n, r = shape
    made = {"head.bias": rng.normal(size=3)}
    for pair in PAIRS:
        made |= {pair.a: rng.normal(size=(r, n)), pair.b: rng.normal(size=(m, r))}
    return made


def random_clients(
    rng: np.random.Generator, shape: tuple[int, int, int], count: int, *, size: float = 1.0
) -> list[ClientUpdate]:
    made = [{n: size * a for n, a in random_state(rng, shape).items()} for _ in range(count)]
    return [ClientUpdate(f"s{i}", update, i + 1, float(i + 1)) for i, update in enumerate(made)]


def dense(state: AdapterState) -> np.ndarray:
    """All products and the plain tensor as one vector."""
    factors = [as_matrices(state, pair) for pair in PAIRS]
    return np.concatenate([*((b @ a).reshape(-1) for a, b in factors), state["head.bias"]])


def trained(state: AdapterState, update: AdapterState) -> dict[str, np.ndarray]:
    return {name: array + update[name] if name in update else array for name, array in state.items()}


def dense_changes(state: AdapterState, updates: list[ClientUpdate]) -> np.ndarray:
    return np.stack([dense(trained(state, each.update)) - dense(state) for each in updates])


def regauged(state: AdapterState, each: ClientUpdate, gauges: list[np.ndarray]) -> ClientUpdate:
    """The same model from the same site: (G^-1 A, B G) for each pair's own G."""
    whole = trained(state, each.update)
    for pair, g in zip(PAIRS, gauges, strict=True):
        whole[pair.a], whole[pair.b] = np.linalg.solve(g, whole[pair.a]), whole[pair.b] @ g
    return ClientUpdate(each.site, {n: whole[n] - state[n] for n in whole}, each.examples, each.weight)


def random_gauge(rng: np.random.Generator, rank: int) -> np.ndarray:
    """Invertible and neither orthogonal nor diagonal; its condition number is at most 16."""
    q, _ = np.linalg.qr(rng.normal(size=(rank, rank)))
    p, _ = np.linalg.qr(rng.normal(size=(rank, rank)))
    return np.asarray((q * rng.uniform(0.25, 4.0, size=rank)) @ p)


def built(name: str) -> Strategy:
    strategy: Strategy = plugins.build("server.aggregation", name, {}, key="aggregation.name")
    return strategy


def next_state(name: str, state: AdapterState, updates: list[ClientUpdate]) -> AdapterState:
    strategy = built(name)
    return strategy.step(state, strategy.combine(iter(updates), state), {})[0]


@given(shape=SHAPES, count=st.integers(1, 5), seed=SEEDS)
def test_the_gram_matrix_is_that_of_dense_changes(shape: tuple[int, int, int], count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, updates = random_state(rng, shape), random_clients(rng, shape, count)
    rows = dense_changes(state, updates)
    scale = np.square(rows).sum(axis=1).max()
    np.testing.assert_allclose(gram(updates, state), rows @ rows.T, atol=1e-12 * scale)
    np.testing.assert_allclose(square_norms(updates, state), np.square(rows).sum(axis=1), rtol=1e-11)
    wanted = np.square(rows[:, None] - rows[None]).sum(axis=-1)
    found = square_distances(gram(updates, state))
    np.testing.assert_allclose(found, wanted, atol=1e-11 * scale)
    assert (found >= 0).all()


@given(shape=SHAPES, seed=SEEDS)
def test_a_small_change_of_large_factors_is_measured_to_its_own_digits(shape: tuple[int, int, int], seed: int) -> None:
    # A difference of products would lose 12 of 16 digits of the square here; compared with dB A_k + B dA, summed dense.
    rng = np.random.default_rng(seed)
    state, (each,) = random_state(rng, shape), random_clients(rng, shape, 1, size=1e-6)
    wanted = float(np.square(each.update["head.bias"]).sum())
    for pair in PAIRS:
        (a, b), (da, db) = as_matrices(state, pair), as_matrices(each.update, pair)
        wanted += float(np.square(db @ (a + da) + b @ da).sum())
    assert gram([each], state)[0, 0] == pytest.approx(wanted, rel=1e-9)


@given(shape=SHAPES, count=st.integers(1, 5), seed=SEEDS)
def test_what_is_combined_is_the_best_of_the_studys_rank(shape: tuple[int, int, int], count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, updates, q = random_state(rng, shape), random_clients(rng, shape, count), rng.uniform(0, 1, size=count)
    made = trained(state, combined(updates, state, q).update)
    for pair in PAIRS:
        a, b = as_matrices(state, pair)
        wholes = [as_matrices(trained(state, each.update), pair) for each in updates]
        wanted = b @ a + sum(w * (bk @ ak - b @ a) for w, (ak, bk) in zip(q, wholes, strict=True))
        found_a, found_b = as_matrices(made, pair)
        tail = np.linalg.svd(wanted, compute_uv=False)[shape[2] :]
        assert (found_a.shape, found_b.shape) == (a.shape, b.shape)
        lost = np.linalg.norm(found_b @ found_a - wanted)
        assert lost == pytest.approx(np.linalg.norm(tail), abs=1e-11 * (1 + np.linalg.norm(wanted)))
    wanted_bias = state["head.bias"] + sum(w * each.update["head.bias"] for w, each in zip(q, updates, strict=True))
    np.testing.assert_allclose(made["head.bias"], wanted_bias, atol=1e-12)


@given(shape=SHAPES, seed=SEEDS)
@pytest.mark.parametrize("name", PRODUCT_SPACE)
def test_a_gauge_of_each_sites_own_changes_nothing(name: str, shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, updates = random_state(rng, shape), random_clients(rng, shape, 5, size=0.1)
    other = [regauged(state, each, [random_gauge(rng, shape[2]) for _ in PAIRS]) for each in updates]
    np.testing.assert_allclose(gram(other, state), gram(updates, state), atol=1e-11)
    found, wanted = (dense(next_state(name, state, each)) for each in (other, updates))
    np.testing.assert_allclose(found, wanted, atol=1e-8)  # a tie of singular values at the cut would amplify 1e-14


@given(c=st.floats(10, 1e4), seed=SEEDS)
@pytest.mark.parametrize("name", PRODUCT_SPACE)
def test_c_times_b_and_a_over_c_change_nothing(name: str, c: float, seed: int) -> None:
    rng, shape = np.random.default_rng(seed), (6, 5, 2)
    state, updates = random_state(rng, shape), random_clients(rng, shape, 5, size=0.1)
    attacked = [regauged(state, updates[0], [c * np.eye(2)] * 2), *updates[1:]]
    np.testing.assert_allclose(gram(attacked, state), gram(updates, state), atol=1e-9)
    found, wanted = (dense(next_state(name, state, each)) for each in (attacked, updates))
    np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize("name", FACTOR_SPACE)
def test_in_factor_space_the_same_models_in_another_gauge_are_another_result(name: str) -> None:
    rng, shape = np.random.default_rng(0), (6, 5, 2)
    state, updates = random_state(rng, shape), random_clients(rng, shape, 5, size=0.1)
    other = [regauged(state, each, [random_gauge(rng, 2) for _ in PAIRS]) for each in updates]
    found, wanted = (dense(next_state(name, state, each)) for each in (other, updates))
    assert np.linalg.norm(found - wanted) > 0.1 * np.linalg.norm(wanted)


def test_huge_factors_that_cancel_in_the_product_are_no_way_in() -> None:
    """B has columns (x, x) 1e12 and A rows (y, -y): a product of 0 whose rounding alone is 1e-4 of the huge parts.

    What is measured is what is averaged, so whatever rounding makes of it counts as an outlier, or is small.
    """
    rng, shape = np.random.default_rng(0), (6, 5, 2)
    state, updates = random_state(rng, shape), random_clients(rng, shape, 5, size=0.1)
    for size in (1e6, 1e12, 1e18, 1e24):
        whole = dict(trained(state, updates[0].update))
        for pair in PAIRS:
            x, y = size * rng.normal(size=(6, 1)), size * rng.normal(size=(1, 5))
            whole |= {pair.b: np.hstack([x, x]), pair.a: np.vstack([y, -y])}
        bad = ClientUpdate("s0", {n: whole[n] - state[n] for n in whole}, 1, 1.0)
        spread = np.sqrt(square_distances(gram(updates[1:], state))).max()
        honest = dense(state) + dense_changes(state, updates[1:]).mean(axis=0)
        for name in ("geometric-median", "multi-krum"):
            made = dense(next_state(name, state, [bad, *updates[1:]]))
            assert np.linalg.norm(made - honest) < 2 * spread, (name, size)


def test_a_factor_that_no_site_sent_keeps_its_bytes_and_the_other_s_mean_is_exact() -> None:
    rng, shape = np.random.default_rng(0), (6, 5, 2)
    state, updates = random_state(rng, shape), random_clients(rng, shape, 4)
    only_b = [ClientUpdate(e.site, {n: a for n, a in e.update.items() if ".lora_A" not in n}, 1, 1.0) for e in updates]
    rows = dense_changes(state, only_b)
    np.testing.assert_allclose(gram(only_b, state), rows @ rows.T, atol=1e-11)
    mean = combined(only_b, state, np.full(4, 0.25))
    assert not any(".lora_A" in name for name in mean.update)
    np.testing.assert_allclose(dense(trained(state, mean.update)), dense(state) + rows.mean(axis=0), atol=1e-12)


def test_where_nothing_changed_the_factors_keep_their_bytes() -> None:
    rng, shape = np.random.default_rng(0), (6, 5, 2)
    state = random_state(rng, shape)
    still = [ClientUpdate(f"s{i}", {n: np.zeros_like(a) for n, a in state.items()}, 1, 1.0) for i in range(5)]
    for name in PRODUCT_SPACE:
        made = next_state(name, state, still)
        assert all(made[n].tobytes() == state[n].tobytes() for n in state)


def test_a_convolution_s_pair_keeps_its_shape() -> None:
    rng = np.random.default_rng(0)
    state = {"c.lora_A.weight": rng.normal(size=(2, 3, 3, 3)), "c.lora_B.weight": rng.normal(size=(4, 2, 1, 1))}
    update = {n: rng.normal(size=a.shape) for n, a in state.items()}
    made = trained(state, combined([ClientUpdate("a", update, 1, 1.0)], state, np.ones(1)).update)
    (a, b), (wanted_a, wanted_b) = (as_matrices(s, Pair("c")) for s in (made, trained(state, update)))
    np.testing.assert_allclose(b @ a, wanted_b @ wanted_a, atol=1e-12)
    assert {n: each.shape for n, each in made.items()} == {n: each.shape for n, each in state.items()}


@given(shape=SHAPES, seed=SEEDS)
def test_a_change_is_in_factors_of_equal_norms_that_do_not_cancel(shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, (each,) = random_state(rng, shape), random_clients(rng, shape, 1)
    u, v = change(each.update, state, PAIRS[0])
    np.testing.assert_allclose(u.T @ u, v @ v.T, atol=1e-11 * (1 + np.square(u).sum()))
