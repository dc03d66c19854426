"""What every file of `server/aggregation` keeps, and what it claims beyond that.

A researcher's own folder is held to it with `pytest tests/server/aggregation/test_contract.py --plugins DIR`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any  # options are typed by the strategy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import plugins
from common.carried import carried_pair, check_adapter, split_carried
from common.foreseen import foreseen
from common.lora_pairs import Pair, as_matrices
from common.rank_slices import padded, sliced
from common.state import AdapterSchema, AdapterState, digest_state
from common.study import AggregationSection
from server.aggregation import ClientUpdate, Memory, Strategy

NAMES = [*plugins.available("server.aggregation"), *plugins.registered("server.aggregation")]
SHAPES = {"q.lora_A.weight": (2, 5), "q.lora_B.weight": (3, 2), "head.bias": (3,)}
OPTIONS: Mapping[str, list[Mapping[str, Any]]] = {
    "fedadam": [{"eta": 0.5, "tau": 0.1}],
    "fedavgm": [{"beta": 0.0}],
    "fedex-lora": [{"carried_rank": 1}],
    "fedrot-lora": [{"rotation": 0.0}],
    "flexlora": [{"energy": 0.5}, {"split": "left"}],
    "flora": [{"carried_rank": 1}, {"redraw": False}],
    "hetlora": [{"gamma": 0.5}, {"weighting_by": "examples"}, {"gamma": 0.5, "weighting_by": "examples"}],
    "multi-krum": [{"byzantine": 0}, {"selected": 1}, {"selected": 5}],
    "norm-clip": [{"clip_norm": 0.5}],
    "trimmed-mean": [{"trim": 0.0}, {"trim": 0.4}],
}
"""Beside its defaults, options that a strategy is held to its word with."""


@dataclass(frozen=True)
class Case:
    """A strategy with some of its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])


CASES = [Case(name, options) for name in NAMES for options in ({}, *OPTIONS.get(name, []))]
ALL = pytest.mark.parametrize("case", CASES, ids=str)
EMPTY: Memory = MappingProxyType({})
SEEDS = st.integers(0, 2**32 - 1)


def built(case: Case) -> Strategy:
    strategy: Strategy = plugins.build("server.aggregation", case.name, case.options, key="aggregation.name")
    return strategy


def random_state(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {n: rng.normal(size=shape).astype(np.float32) for n, shape in SHAPES.items()}


SCHEMA = AdapterSchema.of(random_state(np.random.default_rng(0)))


def active(strategy: Strategy, number: int = 1, memory: Memory = EMPTY) -> AdapterSchema:
    """The tensors that a site sends in this round, as its plan says."""
    return SCHEMA.only(strategy.plan(number, memory, "s0", SCHEMA).active)


def clients(strategy: Strategy, rng: np.random.Generator, count: int) -> list[ClientUpdate]:
    """Updates of the tensors that a first round trains, and of no others."""
    examples, names = rng.integers(1, 1000, size=count), active(strategy).names
    made = [random_state(rng) for _ in range(count)]
    return [
        ClientUpdate(f"s{i}", {name: made[i][name] for name in names}, int(n), float(n)) for i, n in enumerate(examples)
    ]


def next_state(strategy: Strategy, state: AdapterState, updates: list[ClientUpdate]) -> AdapterState:
    return strategy.step(state, strategy.combine(iter(updates), state), {})[0]


def effective(state: AdapterState) -> Mapping[str, np.ndarray]:
    """The weight change of the LoRA pair, with what is carried beside it, and the plain tensor."""
    pair = Pair("q")
    own, carried = as_matrices(state, pair), carried_pair(pair)
    beside = as_matrices(state, carried) if carried.a in state else None
    whole = own[1] @ own[0] + (0.0 if beside is None else beside[1] @ beside[0])
    return {"q": whole, "head.bias": state["head.bias"].astype(np.float64)}


def trained(state: AdapterState, update: ClientUpdate) -> dict[str, np.ndarray]:
    return {n: array + update.update[n] if n in update.update else array for n, array in state.items()}


def assert_close(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> None:
    assert set(left) == set(right)
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-4, atol=1e-4)


def claiming(claim: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [case for case in CASES if claim in built(case).claims], ids=str)


@ALL
@given(seed=SEEDS)
def test_order_does_not_matter(case: Case, seed: int) -> None:
    rng, strategy = np.random.default_rng(seed), built(case)
    state, updates = random_state(rng), clients(strategy, rng, 5)
    shuffled = [updates[i] for i in rng.permutation(5)]
    assert_close(effective(next_state(strategy, state, updates)), effective(next_state(strategy, state, shuffled)))


@ALL
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
def test_only_relative_weights_matter(case: Case, seed: int, factor: float) -> None:
    rng, strategy = np.random.default_rng(seed), built(case)
    state, updates = random_state(rng), clients(strategy, rng, 5)
    scaled = [replace(u, weight=u.weight * factor) for u in updates]
    assert_close(effective(next_state(strategy, state, updates)), effective(next_state(strategy, state, scaled)))


@claiming("consensus")
@given(seed=SEEDS)
def test_consensus_means_that_equal_clients_give_that_client(case: Case, seed: int) -> None:
    rng, strategy = np.random.default_rng(seed), built(case)
    state, updates = random_state(rng), clients(strategy, rng, 5)
    equal = [replace(u, update=updates[0].update) for u in updates]
    assert_close(effective(next_state(strategy, state, equal)), effective(trained(state, updates[0])))


@claiming("additive")
@given(seed=SEEDS)
def test_additive_means_that_one_client_split_in_two_changes_nothing(case: Case, seed: int) -> None:
    rng, strategy = np.random.default_rng(seed), built(case)
    state, updates = random_state(rng), clients(strategy, rng, 3)
    half = replace(updates[0], weight=updates[0].weight / 2)
    parts = [half, replace(half, site="t0"), *updates[1:]]
    assert_close(effective(next_state(strategy, state, updates)), effective(next_state(strategy, state, parts)))


@ALL
def test_inputs_are_not_mutated(case: Case) -> None:
    rng, strategy = np.random.default_rng(0), built(case)
    state, updates = random_state(rng), clients(strategy, rng, 5)
    before = [digest_state(s) for s in (state, *(u.update for u in updates))]
    mean = strategy.combine(updates, state)
    middle = digest_state(mean.update)
    made, memory = strategy.step(state, mean, {})
    kept = digest_state(memory)
    strategy.step(made, mean, memory)
    assert before == [digest_state(s) for s in (state, *(u.update for u in updates))]
    assert (middle, kept) == (digest_state(mean.update), digest_state(memory))


@ALL
def test_the_same_inputs_give_the_same_bytes(case: Case) -> None:
    made = []
    for _ in range(2):
        rng, strategy = np.random.default_rng(3), built(case)
        made.append(digest_state(next_state(strategy, random_state(rng), clients(strategy, rng, 5))))
    assert made[0] == made[1]


@ALL
def test_updates_are_read_once_and_one_at_a_time(case: Case) -> None:
    strategy, rng = built(case), np.random.default_rng(0)
    if strategy.needs_individual_updates:
        return
    read = iter(clients(strategy, rng, 50))
    assert strategy.combine(read, random_state(rng)).sites == 50
    assert next(read, None) is None


@ALL
def test_a_plan_asks_for_tensors_by_name(case: Case) -> None:
    plan = built(case).plan(1, {}, "s0", SCHEMA)
    assert plan.active is None or set(plan.active) <= set(SHAPES)
    assert plan == built(case).plan(1, {}, "s0", SCHEMA)


@ALL
@pytest.mark.parametrize("site", ["s0", "s1"])
def test_what_a_strategy_plans_is_what_sites_were_told_that_it_plans(case: Case, site: str) -> None:
    """Over all rounds of a study, with the memory that the rounds before have left: a site refuses any other plan."""
    rng, strategy, rounds = np.random.default_rng(0), built(case), 7
    section = AggregationSection.model_validate({"name": case.name, **case.options})
    state: AdapterState = random_state(rng)
    memory: Memory = {}
    for number in range(1, rounds + 1):
        declared, plan = foreseen(section, number, site), strategy.plan(number, memory, site, SCHEMA)
        assert declared.allows(plan, SCHEMA), (number, declared)
        names = active(strategy, number, memory).names
        updates = [ClientUpdate(f"s{i}", {n: random_state(rng)[n] for n in names}, 1, 1.0) for i in range(5)]
        state, memory = strategy.step(state, strategy.combine(iter(updates), state), memory)
        check_adapter(state, SCHEMA)
        assert declared.carries or not split_carried(state)[1]


@claiming("linear")
@given(seed=SEEDS, factor=st.floats(-3, 3))
def test_linear_means_that_combine_is_the_weighted_mean(case: Case, seed: int, factor: float) -> None:
    rng, strategy = np.random.default_rng(seed), built(case)
    names, state = active(strategy).names, random_state(rng)
    left, right = clients(strategy, rng, 3), clients(strategy, rng, 3)
    both = [
        replace(u, update={n: (u.update[n].astype(np.float64) + factor * v.update[n]) for n in names})
        for u, v in zip(left, right, strict=True)
    ]
    weights = [u.weight for u in left]
    right = [replace(v, weight=w) for v, w in zip(right, weights, strict=True)]
    found, a, b = (strategy.combine(each, state).update for each in (both, left, right))
    assert_close(found, {n: a[n] + factor * b[n] for n in names})
    assert_close(a, {n: np.average([u.update[n] for u in left], axis=0, weights=weights) for n in names})


@ALL
def test_a_strategy_is_linear_or_needs_individual_updates(case: Case) -> None:
    assert built(case).needs_individual_updates == ("linear" not in built(case).claims)


@claiming("shape_keeping")
def test_shape_keeping_means_names_shapes_and_dtypes(case: Case) -> None:
    rng, strategy = np.random.default_rng(0), built(case)
    state = random_state(rng)
    made = next_state(strategy, state, clients(strategy, rng, 5))
    assert {n: (a.shape, a.dtype) for n, a in made.items()} == {n: (a.shape, a.dtype) for n, a in state.items()}


def is_exact(strategy: Strategy) -> bool:
    rng = np.random.default_rng(0)
    state, updates = random_state(rng), clients(strategy, rng, 5)
    weights = [u.weight for u in updates]
    made = effective(next_state(strategy, state, updates))
    return all(
        np.allclose(
            made[n], np.average([effective(trained(state, u))[n] for u in updates], axis=0, weights=weights), 1e-4, 1e-4
        )
        for n in made
    )


@ALL
def test_exact_is_claimed_by_those_that_are(case: Case) -> None:
    assert is_exact(built(case)) == ("exact" in built(case).claims)


@ALL
def test_the_formula_of_what_goes_up_is_what_the_plan_asks_for(case: Case) -> None:
    """Over two rounds, since some train one factor in one and the other in the next: the mean of both."""
    strategy = built(case)
    sizes = [sum(s.size for s in active(strategy, n).tensors if s.name.startswith("q.")) for n in (1, 2)]
    r, n, m = SHAPES["q.lora_A.weight"] + SHAPES["q.lora_B.weight"][:1]
    assert eval(strategy.up, {"__builtins__": {}}, {"r": r, "m": m, "n": n}) == sum(sizes) / 2  # our own


@claiming("ranks")
@given(seed=SEEDS)
def test_ranks_means_that_sites_send_pairs_of_their_own_rank(case: Case, seed: int) -> None:
    """A site of the full rank whose last rank became zeros says the same as one that does not have it.

    And if it is alone, its product is the next one, with nothing left of the ranks that it does not have.
    """
    rng, strategy = np.random.default_rng(seed), built(case)
    state, updates = random_state(rng), clients(strategy, rng, 3)
    cut = [updates[0], *(replace(u, update=sliced(u.update, 1)) for u in updates[1:])]
    made = next_state(strategy, state, cut)
    check_adapter(made, SCHEMA)
    gone = padded(sliced(trained(state, updates[0]), 1), SCHEMA)
    zeros = {n: gone[n] - state[n] for n in updates[0].update}
    full, low = (replace(cut[0], update=update) for update in (zeros, sliced(updates[0].update, 1)))
    at_both = [next_state(strategy, state, [first, updates[1], cut[2]]) for first in (full, low)]
    assert_close(effective(at_both[0]), effective(at_both[1]))
    alone = next_state(strategy, state, [cut[1]])
    a, b = (
        array[:1] if i == 0 else array[:, :1]
        for i, array in enumerate(as_matrices(trained(state, updates[1]), Pair("q")))
    )
    np.testing.assert_allclose(effective(alone)["q"], b @ a, rtol=1e-4, atol=1e-4)
