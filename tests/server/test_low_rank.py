"""Against numpy's dense products and SVD, in float64, on odd shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.low_rank import compressed, factored_svd, stacked, truncated

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


@pytest.mark.parametrize("scale_of", [lambda r: 16 / r, lambda r: 16 / np.sqrt(r)], ids=["alpha/r", "rslora"])
def test_sites_of_other_scales_would_have_them_in_their_weights(scale_of) -> None:
    """sum_k p_k s_k B_k A_k, were s_k = alpha / r_k not the same everywhere as it is here."""
    rng, ranks, shares = np.random.default_rng(0), [1, 2, 4], [0.5, 0.2, 0.3]
    pairs = [(rng.normal(size=(5, r)), rng.normal(size=(r, 6))) for r in ranks]
    scales = [float(scale_of(r)) for r in ranks]
    b, a = compressed(*stacked(pairs, [p * s for p, s in zip(shares, scales, strict=True)]))
    wanted = sum(p * s * (b_k @ a_k) for p, s, (b_k, a_k) in zip(shares, scales, pairs, strict=True))
    np.testing.assert_allclose(b @ a, wanted, atol=1e-12)


@given(m=SIZES, n=SIZES, rank=SIZES, copies=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_a_product_is_written_in_no_more_ranks_than_it_has(m, n, rank, copies, seed) -> None:
    b, a = pair(np.random.default_rng(seed), m, n, rank)
    left, right = compressed(*stacked([(b, a)] * copies, [1.0] * copies))
    assert left.shape[1] == right.shape[0] == min(m, n, rank)
    np.testing.assert_allclose(left @ right, copies * b @ a, atol=1e-11)


def test_energy_is_a_share_of_the_squares_and_a_rank_is_a_bound() -> None:
    b, a = np.eye(4, 3), np.diag([3.0, 2.0, 0.5])
    kept = [compressed(b, a, rank, energy=energy)[0].shape[1] for rank, energy in ((None, 0.95), (1, 0.95), (None, 1))]
    assert kept == [2, 1, 3]


@pytest.mark.parametrize("shape", [((3, 2), (2, 4)), ((3, 0), (0, 4))])
@pytest.mark.parametrize("energy", [1.0, 0.5])
def test_a_product_of_nothing_has_no_ranks(shape, energy) -> None:
    left, right = compressed(np.zeros(shape[0]), np.zeros(shape[1]), energy=energy)
    assert (left.shape, right.shape) == ((3, 0), (0, 4))
