"""What every attack keeps, and what every robust strategy promises: it refuses or bounds them all.

Seven sites share a drift and differ by a spread; one of them, or two, are bad. The change of the effective weights that
a robust strategy makes stays as near to the mean of the good sites' as these are themselves; the plain mean's does not.
A new file in either folder is tested here without an edit.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.lora_pairs import as_matrices, pairs_of
from common.plugins import available, build
from common.protocol import Reply
from common.state import AdapterSchema, AdapterState, digest_state
from server.admission import Asked, Refused, admit
from server.aggregation import ClientUpdate, Strategy
from simulations.attacks import Attack

ATTACKS = available("simulations.attacks")
SHAPES = {
    "q.lora_A.weight": (4, 16), "q.lora_B.weight": (12, 4), "v.lora_A.weight": (4, 16), "v.lora_B.weight": (16, 4),
    "head.bias": (8,),
}  # fmt: skip
SEEDS = st.integers(0, 2**32 - 1)
FORGING = [name for name in ATTACKS if name != "label-flip"]
"""Those that show in an update; what label-flip does is seen in `tests/simulations/test_bad_sites.py`."""
BAD_OF = [(1, 5), (1, 7), (2, 7)]


def attack_of(name: str) -> Attack:
    attack: Attack = build("simulations.attacks", name, {}, key="simulation.attack.name")
    return attack


def strategy_of(name: str, bad: int = 1) -> Strategy:
    """With default options, but for the number of bad sites that a rule is told."""
    options = {"multi-krum": {"byzantine": bad}, "trimmed-mean": {"trim": 0.3}}.get(name, {})
    strategy: Strategy = build("server.aggregation", name, options, key="aggregation.name")
    return strategy


ROBUST = [name for name in available("server.aggregation") if "robust" in strategy_of(name).claims]


def random_state(rng: np.random.Generator, size: float = 1.0) -> dict[str, np.ndarray]:
    return {n: (size * rng.normal(size=shape)).astype(np.float32) for n, shape in SHAPES.items()}


def honest(rng: np.random.Generator, count: int) -> tuple[AdapterState, list[ClientUpdate]]:
    """A state as LoRA has it after some rounds, and updates with a common part and a part of each site's own."""
    state, drift = random_state(rng, 0.25), random_state(rng, 0.02)
    own = [random_state(rng, 0.02) for _ in range(count)]
    updates = [{n: drift[n] + each[n] for n in SHAPES} for each in own]
    return state, [ClientUpdate(f"s{i}", update, 100, 1.0) for i, update in enumerate(updates)]


def effective(state: AdapterState) -> np.ndarray:
    pairs = [as_matrices(state, pair) for pair in pairs_of(state)]
    return np.concatenate([*((b @ a).reshape(-1) for a, b in pairs), state["head.bias"].astype(np.float64)])


def changed(state: AdapterState, update: AdapterState) -> np.ndarray:
    return effective({n: state[n].astype(np.float64) + update[n] for n in state}) - effective(state)


def forged(name: str, each: ClientUpdate, state: AdapterState) -> ClientUpdate:
    return replace(each, update=attack_of(name).forged(each.update, state, rng=np.random.default_rng(0)))


def admitted(updates: list[ClientUpdate], state: AdapterState) -> list[ClientUpdate]:
    asked = Asked(AdapterSchema.of(state), (), None, None, "uniform", ())
    found = [admit(u.site, Reply(u.update, u.examples, {}, {}), asked) for u in updates]
    return [each.update for each in found if not isinstance(each, Refused)]


def moved_by(strategy: Strategy, state: AdapterState, updates: list[ClientUpdate]) -> np.ndarray:
    made, _ = strategy.step(state, strategy.combine(iter(updates), state), {})
    return effective(made) - effective(state)


@pytest.mark.parametrize("name", ATTACKS)
@given(seed=SEEDS)
def test_a_lie_fits_the_schema_is_the_same_again_and_mutates_nothing(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, (each, *_) = honest(rng, 1)
    labels = rng.integers(0, 3, size=20)
    before = [digest_state(s) for s in (each.update, state)], labels.copy()
    lies = [attack_of(name).forged(each.update, state, rng=np.random.default_rng(1)) for _ in range(2)]
    wrong = attack_of(name).mislabelled(labels, classes=3)
    assert {n: (a.shape, a.dtype) for n, a in lies[0].items()} == {n: (a.shape, a.dtype) for n, a in state.items()}
    assert digest_state(lies[0]) == digest_state(lies[1])
    assert (wrong.shape, wrong.dtype, set(wrong) <= {0, 1, 2}) == (labels.shape, labels.dtype, True)
    assert [digest_state(s) for s in (each.update, state)] == before[0]
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_lies_in_one_way_or_the_other(name: str) -> None:
    state, (each,) = honest(np.random.default_rng(0), 1)
    labels = np.arange(4)
    lies = digest_state(forged(name, each, state).update) != digest_state(each.update)
    assert lies != bool((attack_of(name).mislabelled(labels, classes=4) != labels).any())


@pytest.mark.parametrize("attack", FORGING)
@pytest.mark.parametrize(("bad", "sites"), BAD_OF)
@pytest.mark.parametrize("name", ROBUST)
@settings(max_examples=8)
@given(seed=SEEDS)
def test_every_robust_strategy_refuses_or_bounds_every_attack(
    name: str, bad: int, sites: int, attack: str, seed: int
) -> None:
    state, updates = honest(np.random.default_rng(seed), sites)
    good = [changed(state, each.update) for each in updates[bad:]]
    centre = np.mean(good, axis=0)
    spread = max(float(np.linalg.norm(each - centre)) for each in good)
    attacked = admitted([forged(attack, each, state) for each in updates[:bad]], state) + updates[bad:]
    if len(attacked) < sites:
        assert attacked == updates[bad:]  # refused, all of them: the round is that of the others
        return
    assert np.linalg.norm(moved_by(strategy_of(name, bad), state, attacked) - centre) <= spread


@pytest.mark.parametrize("attack", FORGING)
@pytest.mark.parametrize(("bad", "sites"), BAD_OF)
@settings(max_examples=8)
@given(seed=SEEDS)
def test_the_plain_mean_refuses_or_is_lost(bad: int, sites: int, attack: str, seed: int) -> None:
    state, updates = honest(np.random.default_rng(seed), sites)
    good = [changed(state, each.update) for each in updates[bad:]]
    centre = np.mean(good, axis=0)
    spread = max(float(np.linalg.norm(each - centre)) for each in good)
    attacked = admitted([forged(attack, each, state) for each in updates[:bad]], state) + updates[bad:]
    if len(attacked) == sites:
        assert np.linalg.norm(moved_by(strategy_of("fedavg"), state, attacked) - centre) > spread


def test_a_nan_is_refused_with_its_reason() -> None:
    state, (each,) = honest(np.random.default_rng(0), 1)
    asked = Asked(AdapterSchema.of(state), (), None, None, "uniform", ())
    found = admit("s0", Reply(forged("nan", each, state).update, 1, {}, {}), asked)
    assert found == Refused("'head.bias' has values that are not finite")


@pytest.mark.parametrize("factor", [10.0, 1e3])
@given(seed=SEEDS)
def test_a_gauge_sends_the_model_that_was_trained(factor: float, seed: int) -> None:
    state, (each,) = honest(np.random.default_rng(seed), 1)
    attack = build("simulations.attacks", "gauge", {"factor": factor}, key="simulation.attack.name")
    lie = attack.forged(each.update, state, rng=np.random.default_rng(0))
    true, found = changed(state, each.update), changed(state, lie)
    # A / c is what is left of A - A (1 - 1 / c) in float32: some c of its 1e-7 are lost.
    assert np.linalg.norm(found - true) < 1e-6 * factor * np.linalg.norm(effective(state))
    assert np.linalg.norm(lie["q.lora_B.weight"]) > 0.5 * factor * np.linalg.norm(state["q.lora_B.weight"])
