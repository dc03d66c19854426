"""Identities of the strategies about LoRA over random shapes, in dense numpy beside them (float64, to 1e-12).

What is carried beside an adapter is float32; strategies that carry are held to 1e-6 of the size of the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import plugins
from common.carried import carried_pair, check_adapter, split_carried
from common.lora_pairs import Pair, as_matrices
from common.rank_slices import sliced
from common.state import AdapterSchema, AdapterState
from server.aggregation import ClientUpdate, Memory, Strategy

Q = Pair("q")
ONE_FACTOR = ["ffa-lora", "fedsvd", "rolora"]
CARRYING = ["fedex-lora", "flora"]
PRODUCTS = [*CARRYING, "flexlora"]
FACTORS = ["fedavg", "fedrot-lora", "hetlora"]
SIDES = st.sampled_from([(1, 1), (5, 3), (3, 5), (4, 4), (6, 2), (7, 1)])
RANKS, SEEDS, COUNTS = st.integers(1, 4), st.integers(0, 2**32 - 1), st.integers(1, 5)


def built(name: str, **options: object) -> Strategy:
    strategy: Strategy = plugins.build("server.aggregation", name, options, key="aggregation.name")
    return strategy


@dataclass(frozen=True)
class Cohort:
    """A state of rank `rank` and the updates of its sites, of weights that differ."""

    state: AdapterState
    updates: Sequence[ClientUpdate]

    @property
    def shares(self) -> np.ndarray:
        weights = np.array([each.weight for each in self.updates])
        return weights / weights.sum()

    def mean_product(self) -> np.ndarray:
        return sum(p * product(trained(self.state, u.update)) for p, u in zip(self.shares, self.updates, strict=True))


def random_pair(rng: np.random.Generator, sides: tuple[int, int], rank: int, *, conv: bool = False) -> AdapterState:
    m, n = sides
    a, b = rng.normal(size=(rank, n)), rng.normal(size=(m, rank))
    if conv:
        a, b = rng.normal(size=(rank, n, 2, 3)), b[..., None, None]
    return {Q.a: a, Q.b: b, "head.bias": rng.normal(size=2)}


def cohort(seed: int, sides: tuple[int, int], rank: int, ranks: Sequence[int], *, conv: bool = False) -> Cohort:
    rng = np.random.default_rng(seed)
    state = random_pair(rng, sides, rank, conv=conv)
    updates = [sliced(random_pair(rng, sides, rank, conv=conv), each) for each in ranks]
    weights = rng.uniform(0.1, 9, size=len(ranks))
    return Cohort(
        state, [ClientUpdate(f"s{i}", u, 1, float(w)) for i, (u, w) in enumerate(zip(updates, weights, strict=True))]
    )


def trained(state: AdapterState, update: AdapterState) -> dict[str, np.ndarray]:
    """What a site has after its training: what it received of its rank, and its update."""
    rank = update[Q.a].shape[0] if Q.a in update else None
    received = sliced(split_carried(state)[0], rank)
    return {name: array + update[name] if name in update else array for name, array in received.items()}


def product(state: AdapterState) -> np.ndarray:
    a, b = as_matrices(state, Q)
    return b @ a


def effective(state: AdapterState) -> np.ndarray:
    beside = carried_pair(Q)
    if beside.a not in state:
        return product(state)
    a, b = as_matrices(state, beside)
    return product(state) + b @ a


def asked(strategy: Strategy, number: int, found: Cohort) -> Cohort:
    """The cohort's updates, of what the plan of this round has sites train."""
    names = AdapterSchema.of(found.state).only(strategy.plan(number, {}, "s0", AdapterSchema.of(found.state)).active)
    updates = [replace(u, update={n: u.update[n] for n in names.names}) for u in found.updates]
    return Cohort(found.state, updates)


def after(strategy: Strategy, found: Cohort, memory: Memory | None = None) -> AdapterState:
    return strategy.step(found.state, strategy.combine(iter(found.updates), found.state), memory or {})[0]


def assert_near(left: np.ndarray, right: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * max(1.0, float(np.abs(right).max())))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", ONE_FACTOR)
@given(seed=SEEDS, sides=SIDES, rank=RANKS, count=COUNTS, conv=st.booleans())
def test_one_trained_factor_makes_the_mean_of_factors_exact(name, number, seed, sides, rank, count, conv) -> None:
    strategy = built(name)
    found = asked(strategy, number, cohort(seed, sides, rank, [rank] * count, conv=conv))
    made = after(strategy, found)
    assert_near(effective(made), found.mean_product(), 1e-12)
    assert {n: a.shape for n, a in made.items()} == {n: a.shape for n, a in found.state.items()}


@pytest.mark.parametrize("name", PRODUCTS)
@given(seed=SEEDS, sides=SIDES, ranks=st.lists(RANKS, min_size=1, max_size=4), conv=st.booleans())
def test_products_are_averaged_exactly_whatever_the_ranks(name, seed, sides, ranks, conv) -> None:
    """FlexLoRA where the study's rank holds all that sites have together; FedEx-LoRA with the same rank everywhere."""
    rank = sum(ranks) if name == "flexlora" else max(ranks)
    found = cohort(seed, sides, rank, [rank] * len(ranks) if name == "fedex-lora" else ranks, conv=conv)
    made = after(built(name), found)
    assert_near(effective(made), found.mean_product(), 1e-12 if name == "flexlora" else 1e-6)
    assert all(each.ndim == (4 if conv else 2) for each in split_carried(made)[1].values())


@pytest.mark.parametrize("name", CARRYING)
@given(seed=SEEDS, sides=SIDES, rank=RANKS)
def test_rounds_add_to_what_is_carried_over_those_who_took_part(name, seed, sides, rank) -> None:
    """W_{t+1} = carried_t + sum_k p_k B_k A_k, with p over the round's participants, who differ from round to round."""
    strategy, wanted = built(name), 0.0
    memory: Memory = {}
    state: AdapterState = random_pair(np.random.default_rng(seed), sides, rank)
    for number, there in enumerate([3, 1, 4, 2]):
        found = Cohort(state, cohort(seed + number + 1, sides, rank, [rank] * there).updates)
        carried = effective(state) - product(state)
        wanted = carried + found.mean_product()
        state, memory = strategy.step(state, strategy.combine(iter(found.updates), state), memory)
        assert_near(effective(state), wanted, 1e-6)
        check_adapter(state, AdapterSchema.of(split_carried(state)[0]))


@pytest.mark.parametrize("name", CARRYING)
def test_a_bound_on_what_is_carried_loses_the_tail_of_the_singular_values(name) -> None:
    found = cohort(3, (8, 7), 2, [2, 2, 2, 2])
    whole, cut = (after(built(name, carried_rank=rank), found) for rank in (None, 3))
    beside = carried_pair(Q)
    lost = np.linalg.svd(effective(whole) - product(whole), compute_uv=False)[3:]
    assert (whole[beside.a].shape[0], cut[beside.a].shape[0]) == ({"fedex-lora": 6, "flora": 7}[name], 3)
    assert np.linalg.norm(effective(whole) - effective(cut)) == pytest.approx(np.linalg.norm(lost), rel=1e-5)


@given(seed=SEEDS, sides=SIDES, rank=RANKS, count=COUNTS)
def test_what_the_mean_of_factors_lacks_is_a_covariance(seed, sides, rank, count) -> None:
    found = cohort(seed, sides, rank, [rank] * count)
    mean = built("fedex-lora").combine(found.updates, found.state)
    beside = carried_pair(Q)
    rest = mean.extra[beside.b] @ mean.extra[beside.a]
    a, b = (
        np.average([trained(found.state, u.update)[n] for u in found.updates], axis=0, weights=found.shares)
        for n in (Q.a, Q.b)
    )
    assert_near(rest, found.mean_product() - b @ a, 1e-12)
    assert mean.extra[beside.a].shape[0] <= (count - 1) * rank


@pytest.mark.parametrize("common", [Q.a, Q.b, None])
def test_where_sites_agree_in_a_factor_nothing_is_carried_to_the_last_bit(common) -> None:
    found = cohort(1, (5, 3), 2, [2, 2, 2])
    first = found.updates[0].update
    same = [replace(u, update={**u.update, common: first[common]}) for u in found.updates] if common else None
    alone = Cohort(found.state, same or found.updates[:1])
    assert not split_carried(after(built("fedex-lora"), alone))[1]


@pytest.mark.parametrize("name", [*PRODUCTS, *FACTORS])
@given(seed=SEEDS, sides=SIDES)
def test_a_change_of_gauge_changes_factors_and_no_products(name, seed, sides) -> None:
    """B_k G_k and G_k^-1 A_k are the same site: rules about products do not see it, the mean of factors does."""
    rank, rng = 2, np.random.default_rng(seed)
    found = cohort(seed, sides, rank if name != "flexlora" else 6, [rank] * 3)
    turned = [replace(u, update=in_other_gauge(found.state, u.update, rng)) for u in found.updates]
    left, right = after(built(name), found), after(built(name), Cohort(found.state, turned))
    if name in PRODUCTS:
        assert_near(effective(left), effective(right), 1e-6 if name in CARRYING else 1e-10)
    else:
        # Not by how much: with one row and column a gauge may happen to change little.
        assert np.linalg.norm(effective(left) - effective(right)) > 1e-7 * np.linalg.norm(effective(left))


def in_other_gauge(state: AdapterState, update: AdapterState, rng: np.random.Generator) -> dict[str, np.ndarray]:
    now = trained(state, update)
    rank = now[Q.a].shape[0]
    gauge = np.linalg.qr(rng.normal(size=(rank, rank)))[0] * rng.uniform(1.5, 2.5)
    received = sliced(state, rank)
    turned = {Q.a: np.linalg.solve(gauge, now[Q.a]) - received[Q.a], Q.b: now[Q.b] @ gauge - received[Q.b]}
    return {**update, **turned}


@pytest.mark.parametrize("name", [*ONE_FACTOR, *PRODUCTS, "hetlora", "fedrot-lora"])
@pytest.mark.parametrize("scale", [16 / 3, 16 / np.sqrt(3)], ids=["alpha/r", "rslora"])
def test_a_scale_of_the_study_cancels(name, scale) -> None:
    """s B A with B is (s c) (B / c) A: alpha is a matter of the learning rate, not of the rule."""
    strategy, c = built(name), 3.7
    found = asked(strategy, 1, cohort(5, (5, 4), 3, [3, 3, 3]))
    other = Cohort(divided(found.state, c), [replace(u, update=divided(u.update, c)) for u in found.updates])
    left, right = effective(after(strategy, found)), effective(after(strategy, other))
    assert_near(scale * left, scale * c * right, 1e-6 if name in CARRYING else 1e-12)


def divided(state: AdapterState, c: float) -> dict[str, np.ndarray]:
    return {name: array / c if name == Q.b else array for name, array in state.items()}


def test_methods_that_average_products_agree() -> None:
    """With the same sites: FLoRA, FedEx-LoRA, and FlexLoRA in a rank that holds all of them."""
    small = cohort(2, (7, 6), 2, [2, 2, 2])
    wide = {Q.a: np.pad(small.state[Q.a], ((0, 4), (0, 0))), Q.b: np.pad(small.state[Q.b], ((0, 0), (0, 4)))}
    found = [effective(after(built(name), small)) for name in CARRYING]
    found.append(effective(after(built("flexlora"), Cohort({**small.state, **wide}, small.updates))))
    assert all(np.allclose(each, small.mean_product(), rtol=0, atol=1e-5) for each in found)


@pytest.mark.parametrize("name", ["ffa-lora", "fedavg", "fedex-lora", "rolora"])
def test_with_a_frozen_all_are_the_mean_of_b(name) -> None:
    found = asked(built("ffa-lora"), 1, cohort(4, (6, 5), 3, [3, 3, 3]))
    made, wanted = after(built(name), found), after(built("ffa-lora"), found)
    assert set(made) == set(wanted)
    assert all(np.allclose(made[each], wanted[each], rtol=0, atol=1e-15) for each in wanted)


def test_turning_nothing_is_fedavg_and_equal_norms_are_the_plain_mean() -> None:
    found = cohort(6, (5, 4), 2, [2, 2, 2])
    mean = after(built("fedavg"), found)
    turned = after(built("fedrot-lora", rotation=0.0), found)
    by_examples = after(built("hetlora", weighting_by="examples"), found)
    for name, array in mean.items():
        np.testing.assert_array_equal(turned[name], array)
        assert_near(by_examples[name], array, 1e-12)
    # Sites that differ by rotations have equal norms, and then the weights are equal.
    rng = np.random.default_rng(0)
    same = {n: found.updates[0].update[n] for n in found.state}
    now = trained(found.state, same)
    turns = [np.linalg.qr(rng.normal(size=(5, 5)))[0] for _ in range(3)]
    updates = [
        replace(u, update={**same, Q.b: t @ now[Q.b] - found.state[Q.b]})
        for u, t in zip(found.updates, turns, strict=True)
    ]
    uniform = [replace(u, weight=1.0) for u in updates]
    made = after(built("hetlora"), Cohort(found.state, updates))
    wanted = after(built("fedavg"), Cohort(found.state, uniform))
    assert_near(made[Q.a], wanted[Q.a], 1e-12)
    assert_near(made[Q.b], wanted[Q.b], 1e-12)


@pytest.mark.parametrize("name", [*ONE_FACTOR, *PRODUCTS, *FACTORS])
@given(seed=SEEDS)
def test_every_site_twice_changes_nothing(name, seed) -> None:
    strategy = built(name)
    found = asked(strategy, 1, cohort(seed, (5, 4), 2, [2, 2]))
    twice = Cohort(found.state, [*found.updates, *(replace(u, site=f"t{u.site}") for u in found.updates)])
    assert_near(effective(after(strategy, twice)), effective(after(strategy, found)), 1e-5)


@pytest.mark.parametrize("name", [*ONE_FACTOR, *PRODUCTS, *FACTORS])
def test_rounds_in_which_nobody_moves_leave_the_function_as_it_is(name) -> None:
    strategy, state, memory = built(name), cohort(7, (6, 5), 3, [3]).state, {}
    start = effective(state)
    for number in (1, 2):
        found = asked(strategy, number, cohort(number, (6, 5), 3, [3, 3]))
        still = [replace(u, update={n: np.zeros_like(a) for n, a in u.update.items()}) for u in found.updates]
        state, memory = strategy.step(state, strategy.combine(iter(still), state), memory)
    assert_near(effective(state), start, 1e-6 if name in CARRYING else 1e-12)


@pytest.mark.parametrize("name", [*ONE_FACTOR, *PRODUCTS, *FACTORS])
def test_what_is_in_no_pair_is_the_plain_mean_with_the_weights_of_the_round(name) -> None:
    strategy = built(name)
    found = asked(strategy, 1, cohort(8, (5, 4), 2, [2, 2, 2]))
    head = [trained(found.state, u.update)["head.bias"] for u in found.updates]
    assert_near(after(strategy, found)["head.bias"], np.average(head, axis=0, weights=found.shares), 1e-14)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_layer_that_nobody_sent_keeps_its_bytes(name) -> None:
    found = cohort(9, (5, 4), 2, [2, 2])
    only_head = [replace(u, update={"head.bias": u.update["head.bias"]}) for u in found.updates]
    made = after(built(name), Cohort(found.state, only_head))
    assert set(made) == set(found.state)
    assert all(made[n] is found.state[n] for n in (Q.a, Q.b))
