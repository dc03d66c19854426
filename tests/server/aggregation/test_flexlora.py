"""FlexLoRA's own numbers, against dense SVDs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rank_slices import sliced
from server.aggregation import ClientUpdate
from server.aggregation.flexlora import FlexLoRA

A, B = "q.lora_A.weight", "q.lora_B.weight"
SEEDS = st.integers(0, 2**32 - 1)


def round_of(seed: int, *, m: int = 7, n: int = 6, rank: int = 3, ranks: tuple[int, ...] = (3, 2, 1)):
    """A state, updates with weights 1, 2, ..., and the dense mean of what sites have."""
    rng = np.random.default_rng(seed)
    state = {A: rng.normal(size=(rank, n)), B: rng.normal(size=(m, rank))}
    updates = [{A: rng.normal(size=(r, n)), B: rng.normal(size=(m, r))} for r in ranks]
    total = sum(range(1, len(ranks) + 1))
    mean = sum(
        (k + 1) / total * (state[B][:, :r] + u[B]) @ (state[A][:r] + u[A])
        for k, (r, u) in enumerate(zip(ranks, updates, strict=True))
    )
    return state, [ClientUpdate(f"s{k}", u, 1, float(k + 1)) for k, u in enumerate(updates)], mean


def after(strategy: FlexLoRA, state, updates):
    return strategy.step(state, strategy.combine(updates, state), {})[0]


@pytest.mark.parametrize("split", ["balanced", "left"])
@given(seed=SEEDS)
def test_what_is_lost_is_the_tail_and_a_site_of_rank_k_receives_the_best_of_rank_k(split, seed) -> None:
    state, updates, mean = round_of(seed)
    made = after(FlexLoRA(split=split), state, updates)
    values = np.linalg.svd(mean, compute_uv=False)
    for k in (1, 2, 3):
        at_site = sliced(made, k)
        lost = np.linalg.norm(mean - at_site[B] @ at_site[A])
        assert lost == pytest.approx(np.linalg.norm(values[k:]), rel=1e-9)


@pytest.mark.parametrize(("energy", "kept"), [(1.0, 3), (0.95, 2), (0.5, 1)])
def test_energy_keeps_the_fewest_ranks_that_have_their_share(energy, kept) -> None:
    # Singular values 3, 2, 1/2: squares 9, 4, 1/4 of 13.25, so that shares add up to 0.68, 0.98, 1.
    state = {A: np.zeros((3, 3)), B: np.zeros((4, 3))}
    update = {A: np.eye(3), B: np.eye(4, 3) * np.array([3, 2, 0.5])}
    made = after(FlexLoRA(energy=energy), state, [ClientUpdate("a", update, 1, 1.0)])
    assert np.linalg.matrix_rank(made[B] @ made[A]) == kept
    wanted = np.diag([3, 2, 0.5][:kept] + [0] * (3 - kept))
    np.testing.assert_allclose((made[B] @ made[A])[:3], wanted, atol=1e-12)


def test_a_rank_that_nobody_filled_keeps_its_row_of_a_and_can_be_trained() -> None:
    state, updates, mean = round_of(0, ranks=(1,))
    made = after(FlexLoRA(), state, updates)
    np.testing.assert_allclose(made[B] @ made[A], mean, atol=1e-12)
    np.testing.assert_allclose(made[A][1:], state[A][1:], atol=1e-15)
    assert not made[B][:, 1:].any()


def test_where_nobody_moved_from_b_of_0_the_state_is_as_it_was() -> None:
    state, updates, _ = round_of(0)
    state[B][:] = 0
    still = [ClientUpdate(u.site, {n: np.zeros_like(a) for n, a in u.update.items()}, 1, 1.0) for u in updates]
    made = after(FlexLoRA(), state, still)
    np.testing.assert_array_equal(made[A], state[A])
    np.testing.assert_array_equal(made[B], state[B])


def test_balanced_factors_have_the_same_size_and_left_ones_an_orthonormal_a() -> None:
    state, updates, _ = round_of(1)
    balanced, left = (after(FlexLoRA(split=split), state, updates) for split in ("balanced", "left"))
    np.testing.assert_allclose(balanced[B].T @ balanced[B], balanced[A] @ balanced[A].T, atol=1e-12)
    np.testing.assert_allclose(left[A] @ left[A].T, np.eye(3), atol=1e-12)
