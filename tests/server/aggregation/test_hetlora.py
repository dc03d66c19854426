"""HetLoRA's own numbers: norms, zeros for missing ranks, and ranks that fall."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StudyError
from common.plugins import build
from common.state import AdapterSchema
from server.aggregation import ClientUpdate
from server.aggregation.hetlora import HetLoRA, product_norm

A, B = "q.lora_A.weight", "q.lora_B.weight"
SIZES = st.integers(1, 7)


@given(m=SIZES, n=SIZES, r=SIZES, seed=st.integers(0, 2**32 - 1))
def test_the_norm_of_a_product_needs_no_product(m, n, r, seed) -> None:
    rng = np.random.default_rng(seed)
    b, a = rng.normal(size=(m, r)), rng.normal(size=(r, n))
    assert product_norm(b, a) == pytest.approx(np.linalg.norm(b @ a), abs=1e-12)


@pytest.mark.parametrize("by", ["norm", "examples"])
def test_missing_ranks_are_zeros_in_the_mean(by) -> None:
    # Site x of rank 1 has the product 3 * 1; site y of rank 2 has [1 1] [[1], [0]] = 1: norms 3 and 1.
    state = {A: np.zeros((2, 1)), B: np.zeros((1, 2))}
    x = ClientUpdate("x", {A: np.array([[1.0]]), B: np.array([[3.0]])}, 1, 1.0)
    y = ClientUpdate("y", {A: np.array([[1.0], [0.0]]), B: np.array([[1.0, 1.0]])}, 1, 1.0)
    weights = (0.75, 0.25) if by == "norm" else (0.5, 0.5)
    strategy = HetLoRA(weighting_by=by)
    made, _ = strategy.step(state, strategy.combine([x, y], state), {})
    assert made[A].ravel().tolist() == [1.0, 0.0]
    assert made[B].ravel().tolist() == [3 * weights[0] + weights[1], weights[1]]


def test_a_rank_that_no_site_has_adds_nothing_and_can_still_be_trained() -> None:
    state = {A: np.array([[1.0], [2.0]]), B: np.array([[1.0, 1.0]])}
    x = ClientUpdate("x", {A: np.array([[1.0]]), B: np.array([[2.0]])}, 1, 1.0)
    made, _ = HetLoRA().step(state, HetLoRA().combine([x], state), {})
    assert made[A].ravel().tolist() == [2.0, 2.0]
    assert made[B].ravel().tolist() == [3.0, 0.0]


def pruning(tail: float, memory=None):
    """One round at one site of rank 4 whose last two ranks are multiplied by `tail`, the others by 2."""
    strategy = HetLoRA(gamma=0.5, penalty=0.1)
    rng = np.random.default_rng(0)
    state = {A: rng.normal(size=(4, 3)), B: rng.normal(size=(5, 4))}
    factor = np.array([2, 2, tail, tail])
    update = {A: (factor[:, None] - 1) * state[A], B: (factor - 1) * state[B]}
    shared = AdapterSchema.of(state)
    made, memory = strategy.step(state, strategy.combine([ClientUpdate("x", update, 1, 1.0)], state), memory or {})
    return state, made, strategy.plan(2, memory, "x", shared), strategy.plan(2, memory, "y", shared)


def test_a_tail_that_became_less_is_left_out_from_this_round_on() -> None:
    state, made, plan, other = pruning(0.9)
    assert (plan.rank, other.rank) == (2, None)
    assert plan.extra == {"tail_penalty": 0.1, "tail_share": 0.5}
    np.testing.assert_allclose(made[B] @ made[A], 4 * state[B][:, :2] @ state[A][:2], atol=1e-12)


def test_a_tail_that_grew_stays_and_a_rank_that_fell_is_remembered() -> None:
    state, made, plan, _ = pruning(1.1)
    assert plan.rank is None
    np.testing.assert_allclose(made[B][:, 2:], 1.1 * state[B][:, 2:])
    assert pruning(1.1, {"rank.x": np.array([3])})[2].rank == 3


def test_without_pruning_nothing_is_asked_or_remembered() -> None:
    state = {A: np.ones((2, 1)), B: np.ones((1, 2))}
    plan = HetLoRA().plan(1, {}, "x", AdapterSchema.of(state))
    mean = HetLoRA().combine([ClientUpdate("x", {n: -a / 2 for n, a in state.items()}, 1, 1.0)], state)
    assert (plan.extra, plan.rank, mean.extra) == ({}, None, {})
    assert HetLoRA().step(state, mean, {})[1] == {}


@pytest.mark.parametrize("options", [{"penalty": 0.1}, {"gamma": 0.0}, {"gamma": 1.5}, {"gamma": 0.5, "penalty": -1.0}])
def test_options_that_mean_nothing_are_refused(options) -> None:
    with pytest.raises(StudyError, match=r"penalty|gamma"):
        build("server.aggregation", "hetlora", options, key="aggregation.name")
