"""Sums of products against dense numpy, below and beyond the rank from which they are multiplied out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.lora_pairs import Matrix
from server.factor_sums import ProductSum, effective_rank

SIDES = st.integers(1, 12)


def terms(rng: np.random.Generator, m: int, n: int, rank: int, count: int) -> list[tuple[Matrix, Matrix]]:
    return [(rng.normal(size=(m, rank)), rng.normal(size=(rank, n))) for _ in range(count)]


@given(seed=st.integers(0, 2**32 - 1), m=SIDES, n=SIDES, rank=st.integers(1, 4), count=st.integers(1, 9))
def test_norm_and_singular_values_are_those_of_the_dense_sum(seed: int, m: int, n: int, rank: int, count: int) -> None:
    pairs = terms(np.random.default_rng(seed), m, n, rank, count)
    found = ProductSum((m, n))
    for b, a in pairs:
        found = found.plus(b, a)
    dense = np.sum([b @ a for b, a in pairs], axis=0)
    values = np.linalg.svd(dense, compute_uv=False)
    assert found.norm() == pytest.approx(np.linalg.norm(dense), rel=1e-12)
    padded = np.pad(found.singular_values(), (0, len(values)))[: len(values)]
    np.testing.assert_allclose(padded, values, rtol=1e-12, atol=1e-12 * values[0])


def test_it_holds_no_more_than_twice_the_product_however_many_terms_there_are() -> None:
    rng, found = np.random.default_rng(0), ProductSum((6, 9))
    for b, a in terms(rng, 6, 9, 2, 50):
        found = found.plus(b, a)
        held = sum(b.size + a.size for b, a in found.terms) + (0 if found.product is None else found.product.size)
        assert held < 2 * 6 * 9


def test_few_ranks_are_never_multiplied_out() -> None:
    found = ProductSum((64, 48))
    for b, a in terms(np.random.default_rng(0), 64, 48, 2, 10):
        found = found.plus(b, a)
    assert found.product is None


def test_a_sum_of_nothing_is_zero() -> None:
    empty = ProductSum((3, 2)).plus(np.zeros((3, 1)), np.ones((1, 2)))
    assert (empty.terms, empty.norm(), empty.singular_values().size) == ((), 0.0, 0)


def test_the_effective_rank_is_the_entropy_of_the_shares_of_energy() -> None:
    values = np.array([3.0, 1.0, 0.0])
    # q = (9, 1) / 10
    assert effective_rank(values) == pytest.approx(0.9**-0.9 * 0.1**-0.1, rel=1e-14)
    assert effective_rank(1e-200 * values) == pytest.approx(effective_rank(values), rel=1e-14)
    assert effective_rank(np.ones(7)) == pytest.approx(7.0, rel=1e-14)
