"""FedRot-LoRA's rotation: the best there is, soft as asked, and never a change of the product."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from client.rotation import nearest_orthogonal, rotated, rotation
from common.lora_pairs import Pair, as_matrices
from common.state import Array

PAIR = Pair("q")
SIZES, SEEDS = st.integers(1, 6), st.integers(0, 2**32 - 1)


def random_state(rng: np.random.Generator, rank: int, *, dtype: type = np.float64) -> dict[str, Array]:
    a, b = rng.normal(size=(rank, 7)), rng.normal(size=(5, rank))
    return {PAIR.a: a.astype(dtype), PAIR.b: b.astype(dtype), "head.bias": np.ones(2, dtype)}


def extra(strength: float, on_b: bool) -> dict[str, float]:
    return {"rotation": strength, "rotate_b": float(on_b)}


@given(rank=SIZES, seed=SEEDS, strength=st.floats(0, 1), on_b=st.booleans())
def test_the_product_is_as_it_was(rank: int, seed: int, strength: float, on_b: bool) -> None:
    rng = np.random.default_rng(seed)
    state, received = random_state(rng, rank), random_state(rng, rank)
    before = {name: array.copy() for name, array in state.items()}
    found = rotated(state, received, extra(strength, on_b))
    assert all(np.array_equal(state[name], before[name]) for name in state)
    np.testing.assert_allclose(found[PAIR.b] @ found[PAIR.a], state[PAIR.b] @ state[PAIR.a], atol=1e-12)
    assert found["head.bias"] is state["head.bias"]


@given(rank=SIZES, seed=SEEDS, on_b=st.booleans())
def test_a_whole_turn_is_orthogonal_procrustes(rank: int, seed: int, on_b: bool) -> None:
    """SciPy's solves min ||X R - Y||: X = A_k^T for A, since ||R^T A_k - A|| = ||A_k^T R - A^T||, and B_k for B."""
    rng = np.random.default_rng(seed)
    rank = min(rank, 5)  # of full rank, where the solution is one
    state, received = random_state(rng, rank), random_state(rng, rank)
    (a, b), (a_then, b_then) = as_matrices(state, PAIR), as_matrices(received, PAIR)
    expected, _ = orthogonal_procrustes(b, b_then) if on_b else orthogonal_procrustes(a.T, a_then.T)
    np.testing.assert_allclose(rotation(state, received, PAIR, strength=1.0, on_b=on_b), expected, atol=1e-8)


@given(rank=st.integers(1, 5), seed=SEEDS, on_b=st.booleans())
def test_a_turned_copy_of_what_was_received_comes_back(rank: int, seed: int, on_b: bool) -> None:
    rng = np.random.default_rng(seed)
    received = random_state(rng, rank)
    turn = np.linalg.qr(rng.normal(size=(rank, rank)))[0]
    state = {**received, PAIR.a: turn.T @ received[PAIR.a], PAIR.b: received[PAIR.b] @ turn}
    found = rotated(state, received, extra(1.0, on_b))
    np.testing.assert_allclose(found[PAIR.a], received[PAIR.a], atol=1e-9)
    np.testing.assert_allclose(found[PAIR.b], received[PAIR.b], atol=1e-9)


@given(rank=SIZES, seed=SEEDS, strength=st.floats(0, 1), on_b=st.booleans())
def test_a_softened_turn_is_the_orthogonal_matrix_nearest_to_the_blend(
    rank: int, seed: int, strength: float, on_b: bool
) -> None:
    rng = np.random.default_rng(seed)
    state, received = random_state(rng, rank), random_state(rng, rank)
    best = rotation(state, received, PAIR, strength=1.0, on_b=on_b)
    found = rotation(state, received, PAIR, strength=strength, on_b=on_b)
    np.testing.assert_allclose(found.T @ found, np.eye(rank), atol=1e-9)
    blend = (1 - strength) * np.eye(rank) + strength * best
    others = [np.linalg.qr(rng.normal(size=(rank, rank)))[0] for _ in range(20)] + [best, np.eye(rank)]
    distances = [np.linalg.norm(other - blend) for other in others]
    assert np.linalg.norm(found - blend) <= min(distances) + 1e-9


@pytest.mark.parametrize("on_b", [False, True])
def test_no_strength_changes_no_bit(on_b: bool) -> None:
    rng = np.random.default_rng(0)
    state = random_state(rng, 4, dtype=np.float32)
    for given_extra in ({}, extra(0.0, on_b)):
        found = rotated(state, random_state(rng, 4), given_extra)
        assert all(found[name] is state[name] for name in state)


def test_a_factor_received_as_zero_turns_nothing() -> None:
    """B of round 1: every turn is as good, and the one that changes nothing is taken."""
    state = random_state(np.random.default_rng(0), 4, dtype=np.float32)
    received = {**state, PAIR.b: np.zeros_like(state[PAIR.b])}
    assert np.array_equal(rotation(state, received, PAIR, strength=1.0, on_b=True), np.eye(4))


@given(size=SIZES, rank=st.integers(0, 6), seed=SEEDS)
def test_the_nearest_is_orthogonal_and_of_several_the_one_nearest_to_no_turn(size: int, rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(size, min(rank, size))) @ rng.normal(size=(min(rank, size), size))
    found = nearest_orthogonal(matrix)
    np.testing.assert_allclose(found.T @ found, np.eye(size), atol=1e-9)
    assert np.trace(found.T @ matrix) == pytest.approx(np.linalg.svd(matrix, compute_uv=False).sum(), abs=1e-8)
    tilted = nearest_orthogonal(matrix + 1e-7 * np.eye(size))  # the tie broken towards I, another way
    assert np.trace(found) >= np.trace(tilted) - 1e-3


def test_a_convolution_s_factors_are_turned_as_matrices() -> None:
    rng = np.random.default_rng(0)
    state = {PAIR.a: rng.normal(size=(3, 2, 2, 2)), PAIR.b: rng.normal(size=(5, 3, 1, 1))}
    received = {PAIR.a: rng.normal(size=(3, 2, 2, 2)), PAIR.b: rng.normal(size=(5, 3, 1, 1))}
    found = rotated(state, received, extra(1.0, on_b=False))
    assert {name: array.shape for name, array in found.items()} == {n: array.shape for n, array in state.items()}
    (a, b), (a_then, b_then) = as_matrices(found, PAIR), as_matrices(state, PAIR)
    np.testing.assert_allclose(b @ a, b_then @ a_then, atol=1e-12)
    assert np.linalg.norm(found[PAIR.a] - received[PAIR.a]) < np.linalg.norm(state[PAIR.a] - received[PAIR.a])
