"""What every file of `server/aggregation` keeps, and what it claims beyond that."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import plugins
from common.foreseen import foreseen
from common.state import AdapterSchema, AdapterState, digest_state
from common.study import AggregationSection
from server.aggregation import ClientUpdate, Memory, Strategy

NAMES = plugins.available("server.aggregation")
SHAPES = {"q.lora_A.weight": (2, 5), "q.lora_B.weight": (3, 2), "head.bias": (3,)}
ALL = pytest.mark.parametrize("name", NAMES)
SEEDS = st.integers(0, 2**32 - 1)


def built(name: str) -> Strategy:
    strategy: Strategy = plugins.build("server.aggregation", name, {}, key="aggregation.name")
    return strategy


def random_state(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {n: rng.normal(size=shape).astype(np.float32) for n, shape in SHAPES.items()}


def clients(rng: np.random.Generator, count: int) -> list[ClientUpdate]:
    examples = rng.integers(1, 1000, size=count)
    return [ClientUpdate(f"s{i}", random_state(rng), int(n), float(n)) for i, n in enumerate(examples)]


def next_state(strategy: Strategy, state: AdapterState, updates: list[ClientUpdate]) -> AdapterState:
    return strategy.step(state, strategy.combine(iter(updates)), {})[0]


def effective(state: AdapterState) -> Mapping[str, np.ndarray]:
    """The weight change of the LoRA pair, B @ A, and the plain tensor."""
    a, b = (state[f"q.lora_{letter}.weight"].astype(np.float64) for letter in "AB")
    return {"q": b @ a, "head.bias": state["head.bias"].astype(np.float64)}


def assert_close(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> None:
    assert set(left) == set(right)
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-5, atol=1e-5)


@ALL
@given(seed=SEEDS)
def test_order_does_not_matter(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, updates = random_state(rng), clients(rng, 4)
    shuffled = [updates[i] for i in rng.permutation(4)]
    assert_close(
        effective(next_state(built(name), state, updates)), effective(next_state(built(name), state, shuffled))
    )


@ALL
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
def test_only_relative_weights_matter(name: str, seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    state, updates = random_state(rng), clients(rng, 4)
    scaled = [replace(u, weight=u.weight * factor) for u in updates]
    assert_close(effective(next_state(built(name), state, updates)), effective(next_state(built(name), state, scaled)))


@ALL
@given(seed=SEEDS)
def test_equal_clients_give_that_client(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, update = random_state(rng), random_state(rng)
    updates = [replace(u, update=update) for u in clients(rng, 4)]
    trained = {n: state[n] + update[n] for n in state}
    assert_close(effective(next_state(built(name), state, updates)), effective(trained))


@ALL
@given(seed=SEEDS)
def test_one_client_split_in_two_changes_nothing(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, updates = random_state(rng), clients(rng, 3)
    half = replace(updates[0], weight=updates[0].weight / 2)
    parts = [half, replace(half, site="t0"), *updates[1:]]
    assert_close(effective(next_state(built(name), state, updates)), effective(next_state(built(name), state, parts)))


@ALL
def test_inputs_are_not_mutated(name: str) -> None:
    rng = np.random.default_rng(0)
    strategy, state, updates = built(name), random_state(rng), clients(rng, 3)
    before = [digest_state(s) for s in (state, *(u.update for u in updates))]
    mean = strategy.combine(updates)
    middle = digest_state(mean.update)
    _, memory = strategy.step(state, mean, {})
    kept = digest_state(memory)
    strategy.step(state, mean, memory)
    assert before == [digest_state(s) for s in (state, *(u.update for u in updates))]
    assert (middle, kept) == (digest_state(mean.update), digest_state(memory))


@ALL
def test_the_same_inputs_give_the_same_bytes(name: str) -> None:
    made = []
    for _ in range(2):
        rng = np.random.default_rng(3)
        made.append(digest_state(next_state(built(name), random_state(rng), clients(rng, 5))))
    assert made[0] == made[1]


@ALL
def test_updates_are_read_once_and_one_at_a_time(name: str) -> None:
    strategy = built(name)
    if strategy.needs_individual_updates:
        return
    updates = clients(np.random.default_rng(0), 50)
    read = iter(updates)
    assert strategy.combine(read).sites == 50
    assert next(read, None) is None


@ALL
def test_a_plan_asks_for_tensors_by_name(name: str) -> None:
    plan = built(name).plan(1, {}, "s0")
    assert plan.active is None or set(plan.active) <= set(SHAPES)
    assert plan == built(name).plan(1, {}, "s0")


@ALL
@pytest.mark.parametrize("site", ["s0", "s1"])
def test_what_a_strategy_plans_is_what_sites_were_told_that_it_plans(name: str, site: str) -> None:
    """Over all rounds of a study, with the memory that the rounds before have left: a site refuses any other plan."""
    rng, strategy, rounds = np.random.default_rng(0), built(name), 7
    schema, section = AdapterSchema.of(random_state(rng)), AggregationSection(name=name)
    state: AdapterState = random_state(rng)
    memory: Memory = {}
    for number in range(1, rounds + 1):
        declared = foreseen(section, number, site)
        assert declared.allows(strategy.plan(number, memory, site), schema), (number, declared)
        state, memory = strategy.step(state, strategy.combine(iter(clients(rng, 3))), memory)


@pytest.mark.parametrize("name", [n for n in NAMES if "linear" in built(n).claims])
@given(seed=SEEDS, factor=st.floats(-3, 3))
def test_linear_means_that_combine_is_the_weighted_mean(name: str, seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    left, right = clients(rng, 3), clients(rng, 3)
    both = [
        replace(u, update={n: (u.update[n].astype(np.float64) + factor * v.update[n]) for n in SHAPES})
        for u, v in zip(left, right, strict=True)
    ]
    weights = [u.weight for u in left]
    right = [replace(v, weight=w) for v, w in zip(right, weights, strict=True)]
    combine = built(name).combine
    found, a, b = combine(both).update, combine(left).update, combine(right).update
    assert_close(found, {n: a[n] + factor * b[n] for n in SHAPES})
    assert_close(a, {n: np.average([u.update[n] for u in left], axis=0, weights=weights) for n in SHAPES})


@pytest.mark.parametrize("name", [n for n in NAMES if "shape_keeping" in built(n).claims])
def test_shape_keeping_means_names_shapes_and_dtypes(name: str) -> None:
    rng = np.random.default_rng(0)
    state = random_state(rng)
    made = next_state(built(name), state, clients(rng, 3))
    assert {n: (a.shape, a.dtype) for n, a in made.items()} == {n: (a.shape, a.dtype) for n, a in state.items()}


def is_exact(strategy: Strategy) -> bool:
    rng = np.random.default_rng(0)
    state, updates = random_state(rng), clients(rng, 3)
    trained = [effective({n: state[n] + u.update[n] for n in state})["q"] for u in updates]
    wanted = np.average(trained, axis=0, weights=[u.weight for u in updates])
    return np.allclose(effective(next_state(strategy, state, updates))["q"], wanted, rtol=1e-4, atol=1e-4)


@ALL
def test_exact_is_claimed_by_those_that_are(name: str) -> None:
    assert is_exact(built(name)) == ("exact" in built(name).claims)
