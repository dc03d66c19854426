import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.audit.span import beyond_chance, recall, span_of


def share(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    return ((vectors @ basis.T) ** 2).sum(axis=-1) / (vectors**2).sum(axis=-1)


def test_inputs_of_a_gradient_lie_in_its_span_and_others_do_not() -> None:
    """grad A = s B^T sum_t d_t x_t^T with 6 inputs and rank 8: all of them are in it."""
    rng = np.random.default_rng(0)
    inputs, others = rng.normal(size=(6, 40)), rng.normal(size=(50, 40))
    gradient = 2.0 * rng.normal(size=(30, 8)).T @ rng.normal(size=(6, 30)).T @ inputs
    basis = span_of(gradient)
    assert basis.shape == (6, 40)
    assert share(inputs, basis) == pytest.approx(np.ones(6), abs=1e-12)
    assert share(others, basis).max() < 0.6


def test_more_inputs_than_the_rank_are_hidden_among_each_other() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(30, 40))
    basis = span_of(rng.normal(size=(8, 30)) @ inputs)
    assert basis.shape == (8, 40)
    assert share(inputs, basis).max() < 1 - 1e-3


def test_rounding_makes_no_direction() -> None:
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(8, 2)) @ rng.normal(size=(2, 40))
    assert len(span_of(exact + 1e-9 * rng.normal(size=exact.shape))) == 2


def test_of_the_whole_space_half_is_kept() -> None:
    rng = np.random.default_rng(0)
    assert span_of(rng.normal(size=(64, 16))).shape == (8, 16)


def test_nothing_spans_nothing() -> None:
    assert span_of(np.zeros((4, 10))).shape == (0, 10)


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=2, max_size=30, unique_by=lambda row: row[0]))
def test_recall_is_that_of_the_k_best(rows: list[tuple[int, bool]]) -> None:
    scores, true = (np.array(column) for column in zip(*rows, strict=True))
    wanted = int(true.sum())
    found = recall(scores.astype(float), true)(np.ones(len(rows)))
    if not wanted:
        assert np.isnan(found)
        return
    best = np.argsort(-scores)[:wanted]
    assert float(found) == pytest.approx(true[best].mean(), abs=1e-12)


def test_a_weight_counts_a_row_so_often() -> None:
    scores, true, weights = np.array([3.0, 2.0, 1.0, 0.5]), np.array([True, False, True, False]), np.array([2, 1, 3, 2])
    repeated = recall(np.repeat(scores, weights) - 1e-9 * np.arange(8), np.repeat(true, weights))
    assert float(recall(scores, true)(weights.astype(float))) == pytest.approx(float(repeated(np.ones(8))), abs=1e-12)


def test_scores_that_are_all_alike_find_what_chance_finds() -> None:
    true = np.array([True, False, False, True, False])
    assert float(recall(np.zeros(5), true)(np.ones(5))) == pytest.approx(0.4)
    assert float(beyond_chance(np.zeros(5), true)(np.ones(5))) == pytest.approx(0.0, abs=1e-12)
    assert float(beyond_chance(true.astype(float), true)(np.ones(5))) == pytest.approx(1.0)
