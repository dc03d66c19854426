"""The figures of a round against dense numpy, and what they must be where the answer is known."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.carried import CARRIED
from common.rank_slices import sliced
from common.state import digest_state, norm
from server import diagnostics
from server.aggregation import ClientUpdate
from server.diagnostics import Diagnostics, Read, diagnose

State = dict[str, np.ndarray]
SHAPES = {
    "q": ((2, 5), (3, 2)),
    "v": ((1, 4), (4, 1)),
    "conv": ((2, 3, 3, 3), (7, 2, 1, 1)),
}
SEEDS = st.integers(0, 2**32 - 1)


def random_state(rng: np.random.Generator, scale: float = 1.0) -> State:
    state = {}
    for layer, (a, b) in SHAPES.items():
        state[f"{layer}.lora_A.weight"] = scale * rng.normal(size=a)
        state[f"{layer}.lora_B.weight"] = scale * rng.normal(size=b)
    return {**state, "head.bias": scale * rng.normal(size=3), "head.scale": np.array(scale * rng.normal())}


def clients(rng: np.random.Generator, count: int, scale: float = 0.3) -> list[ClientUpdate]:
    weights = rng.uniform(0.5, 9, size=count)
    return [ClientUpdate(f"s{i:02}", random_state(rng, scale), 1, float(w)) for i, w in enumerate(weights)]


def reader(updates: Sequence[ClientUpdate]) -> Read:
    def read(names: tuple[str, ...]) -> Iterable[ClientUpdate]:
        for each in updates:
            yield replace(each, update={n: a for n, a in each.update.items() if n in names})

    return read


def found(updates: Sequence[ClientUpdate], state: State) -> Diagnostics:
    return diagnose(reader(updates), state, {each.site: norm(each.update) for each in updates})


def matrices(state: State, layer: str) -> tuple[np.ndarray, np.ndarray]:
    (a, b), ends = SHAPES[layer], (".lora_A.weight", ".lora_B.weight")
    return state[layer + ends[0]].reshape(a[0], -1), state[layer + ends[1]].reshape(b[0], a[0])


def dense(updates: Sequence[ClientUpdate], state: State) -> Diagnostics:
    """The formulas, word for word, on whole models."""
    p = np.array([u.weight for u in updates]) / sum(u.weight for u in updates)
    trained = [{n: state[n] + u.update.get(n, 0.0) for n in state} for u in updates]
    average = {n: sum(w * t[n] for w, t in zip(p, trained, strict=True)) for n in state}
    errors, changes, ranks = [], [], []
    for layer in SHAPES:
        (a, b), own = matrices(average, layer), matrices(state, layer)
        mean = sum(w * (y @ x) for w, (x, y) in zip(p, (matrices(t, layer) for t in trained), strict=True))
        errors.append(mean - b @ a)
        changes.append(mean - own[1] @ own[0])
        q = np.square(np.linalg.svd(changes[-1], compute_uv=False))
        q = q[q > 0] / q.sum()
        ranks.append(np.exp(-np.sum(q * np.log(q))))
    flat = np.array([np.concatenate([u.update.get(n, 0 * state[n]).ravel() for n in sorted(state)]) for u in updates])
    mean, lengths = p @ flat, np.linalg.norm(flat, axis=1)
    cosines = flat @ flat.T / np.outer(lengths, lengths)
    return Diagnostics(
        aggregation_error=np.sqrt(sum(np.sum(e**2) for e in errors) / sum(np.sum(c**2) for c in changes)),
        effective_rank=float(np.mean(ranks)),
        drift=float(p @ np.linalg.norm(flat - mean, axis=1) / np.linalg.norm(mean)),
        pairwise_cosine=cosines[~np.eye(len(p), dtype=bool)].mean(),
        cosines={
            u.site: each @ mean / np.linalg.norm(each) / np.linalg.norm(mean)
            for u, each in zip(updates, flat, strict=True)
        },
        reasons={},
    )


def assert_same(left: Diagnostics, right: Diagnostics, rel: float = 1e-12) -> None:
    for name in ("aggregation_error", "effective_rank", "drift", "pairwise_cosine"):
        assert getattr(left, name) == pytest.approx(getattr(right, name), rel=rel, abs=1e-13), name
    assert left.cosines == pytest.approx(right.cosines, rel=rel)
    assert left.reasons == right.reasons


@given(seed=SEEDS, count=st.integers(2, 12))
def test_the_figures_are_those_of_whole_models(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    state, updates = random_state(rng), clients(rng, count)
    assert_same(found(updates, state), dense(updates, state))


def test_small_groups_of_layers_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    state, updates = random_state(rng), clients(rng, 5)
    whole = found(updates, state)
    monkeypatch.setattr(diagnostics, "_GROUP", 1)
    assert_same(found(updates, state), whole)


def test_a_site_of_a_lower_rank_changes_nothing_beyond_it() -> None:
    rng = np.random.default_rng(1)
    state, updates = random_state(rng), clients(rng, 4)
    cut = [replace(u, update=sliced(u.update, 1 if i % 2 else None)) for i, u in enumerate(updates)]

    def filled(update: State) -> State:
        """Zeros where the rank ends."""
        whole = {n: np.zeros(state[n].shape) for n in update}
        for name, array in update.items():
            whole[name][tuple(map(slice, array.shape))] = array
        return whole

    assert_same(found(cut, state), dense([replace(u, update=filled(u.update)) for u in cut], state))


def test_what_a_site_did_not_train_counts_as_unchanged() -> None:
    rng = np.random.default_rng(2)
    state, updates = random_state(rng), clients(rng, 3)
    part = replace(updates[0], update={n: a for n, a in updates[0].update.items() if n.endswith("_B.weight")})
    assert_same(found([part, *updates[1:]], state), dense([part, *updates[1:]], state))


def test_one_site_has_no_error_and_no_drift() -> None:
    rng = np.random.default_rng(3)
    alone = found(clients(rng, 1), random_state(rng))
    assert (alone.aggregation_error, alone.drift) == pytest.approx((0.0, 0.0), abs=1e-15)
    assert (alone.to_json()["aggregation_error"], alone.to_json()["drift"]) == (0.0, 0.0)
    assert alone.cosines == {"s00": pytest.approx(1.0)}
    assert alone.pairwise_cosine is None
    assert set(alone.reasons) == {"pairwise_cosine"}


@pytest.mark.parametrize("factor", ["A", "B"])
def test_a_factor_that_is_frozen_or_common_leaves_no_error(factor: str) -> None:
    rng = np.random.default_rng(4)
    state, updates, common = random_state(rng), clients(rng, 5), random_state(rng)
    end = f".lora_{factor}.weight"
    frozen = [replace(u, update={n: a for n, a in u.update.items() if not n.endswith(end)}) for u in updates]
    shared = [replace(u, update={n: common[n] if n.endswith(end) else a for n, a in u.update.items()}) for u in updates]
    assert found(frozen, state).aggregation_error == 0.0
    assert found(shared, state).aggregation_error == pytest.approx(0.0, abs=1e-14)
    assert found(updates, state).aggregation_error > 0.01


def test_the_error_is_second_order_in_the_drift() -> None:
    """A tenth of the updates has a hundredth of the error, against a tenth of the change: relative to it, a tenth."""
    rng = np.random.default_rng(5)
    state, updates = random_state(rng), clients(rng, 6)
    errors = []
    for scale in (1e-2, 1e-3, 1e-4, 1e-6):
        small = [replace(u, update={n: np.asarray(scale * a) for n, a in u.update.items()}) for u in updates]
        errors.append(found(small, state).aggregation_error)
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.005)
    assert errors[2] / errors[3] == pytest.approx(100, rel=0.001)


def test_a_client_split_in_two_changes_nothing_that_is_weighted() -> None:
    rng = np.random.default_rng(6)
    state, updates = random_state(rng), clients(rng, 3)
    half = replace(updates[0], weight=updates[0].weight / 2)
    whole, split = found(updates, state), found([half, replace(half, site="t"), *updates[1:]], state)
    for name in ("aggregation_error", "effective_rank", "drift"):
        assert getattr(split, name) == pytest.approx(getattr(whole, name), rel=1e-12)
    assert split.cosines["t"] == split.cosines["s00"] == pytest.approx(whole.cosines["s00"], rel=1e-12)


@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
def test_only_relative_weights_and_no_order_matter(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    state, updates = random_state(rng), clients(rng, 4)
    other = [replace(updates[i], weight=factor * updates[i].weight) for i in rng.permutation(4)]
    assert_same(found(other, state), found(updates, state))


def test_opposite_updates_have_cosine_minus_one_and_no_drift_to_speak_of() -> None:
    rng = np.random.default_rng(7)
    state, one = random_state(rng), clients(rng, 1)[0]
    other = replace(one, site="t", update={n: np.asarray(-a) for n, a in one.update.items()})
    both = found([one, other], state)
    assert both.pairwise_cosine == pytest.approx(-1.0, rel=1e-12)
    assert both.drift is None
    assert both.cosines == {"s00": None, "t": None}
    assert {"drift", "cosines"} == set(both.reasons)


def test_without_pairs_or_movement_there_is_a_reason() -> None:
    rng = np.random.default_rng(8)
    state, updates = random_state(rng), clients(rng, 3)
    plain = [replace(u, update={"head.bias": u.update["head.bias"]}) for u in updates]
    still = found(plain, state)
    assert (still.aggregation_error, still.effective_rank) == (None, None)
    assert still.reasons == dict.fromkeys(
        ("aggregation_error", "effective_rank"), "no site changed the product of a LoRA pair"
    )
    assert found(plain, {"head.bias": state["head.bias"]}).reasons["effective_rank"] == "no LoRA pair is shared"
    assert still.drift is not None


def test_what_is_carried_is_not_part_of_an_update_and_inputs_stay() -> None:
    rng = np.random.default_rng(9)
    state, updates = random_state(rng), clients(rng, 3)
    beside = {CARRIED + n: a for n, a in state.items() if "lora_" in n}
    before = [digest_state(each) for each in (state, *(u.update for u in updates))]
    assert_same(found(updates, {**state, **beside}), found(updates, state))
    assert before == [digest_state(each) for each in (state, *(u.update for u in updates))]


def test_in_results_the_figures_have_ten_digits_and_rounding_is_zero() -> None:
    figures = Diagnostics(1e-17, 1.23456789012345, None, -0.5, {"a": 1.0, "b": None}, {"drift": "why"})
    assert figures.to_json() == {
        "aggregation_error": 0.0,
        "effective_rank": 1.23456789,
        "drift": None,
        "pairwise_cosine": -0.5,
        "cosines": {"a": 1.0, "b": None},
        "reasons": {"drift": "why"},
    }
