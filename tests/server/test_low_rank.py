"""Against numpy's dense products and SVD, in float64, on odd shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.low_rank import factored_svd, stacked, truncated

SIZES = st.integers(1, 9)


def pair(rng: np.random.Generator, m: int, n: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(m, rank)), rng.normal(size=(rank, n))


@given(m=SIZES, n=SIZES, rank=SIZES, seed=st.integers(0, 2**32 - 1))
def test_the_svd_of_the_factors_is_that_of_their_product(m: int, n: int, rank: int, seed: int) -> None:
    b, a = pair(np.random.default_rng(seed), m, n, rank)
    u, values, vt = factored_svd(b, a)
    np.testing.assert_allclose((u * values) @ vt, b @ a, atol=1e-12)
    np.testing.assert_allclose(values, np.linalg.svd(b @ a, compute_uv=False)[: len(values)], atol=1e-12)


@given(m=SIZES, n=SIZES, rank=SIZES, kept=SIZES, seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("split", ["balanced", "left"])
def test_what_truncation_loses_is_the_tail_of_the_singular_values(m, n, rank, kept, seed, split) -> None:
    # Eckart and Young: the distance to the best approximation is sqrt(sum of the squares of the dropped values).
    b, a = pair(np.random.default_rng(seed), m, n, rank)
    left, right = truncated(b, a, kept, split=split)
    tail = np.linalg.svd(b @ a, compute_uv=False)[kept:]
    assert (left.shape, right.shape) == ((m, kept), (kept, n))
    assert np.linalg.norm(left @ right - b @ a) == pytest.approx(np.linalg.norm(tail), abs=1e-11)


def test_left_makes_rows_orthonormal_and_balanced_makes_equal_norms() -> None:
    b, a = pair(np.random.default_rng(0), 7, 5, 3)
    np.testing.assert_allclose((rows := truncated(b, a, 3, split="left")[1]) @ rows.T, np.eye(3), atol=1e-12)
    left, right = truncated(b, a, 3)
    np.testing.assert_allclose(left.T @ left, right @ right.T, atol=1e-12)


@given(ranks=st.lists(SIZES, min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_a_stack_is_the_weighted_sum_of_products(ranks: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs, weights = [pair(rng, 4, 6, rank) for rank in ranks], rng.random(len(ranks)).tolist()
    b, a = stacked(pairs, weights)
    np.testing.assert_allclose(b @ a, sum(w * (x @ y) for w, (x, y) in zip(weights, pairs, strict=True)), atol=1e-12)
