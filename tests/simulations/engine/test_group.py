"""Clients trained in one group end as each does alone: every tensor, to 1e-12 in float64, dropout included."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from client.recipe import Recipe
from common.tasks import Example
from common.workbench import Workbench
from simulations.engine.layout import CannotGroupError
from simulations.engine.members import Member

Open = Callable[..., Workbench]
METHODS = {
    "lora": "method='lora', rank=4",
    "lora of other ranks": "method='lora', rank=4, ranks={'1.attention.self.query'=2}",
    "lora with dropout": "method='lora', rank=4, dropout=0.2",
    "orthogonal lora": "method='lora', rank=4, init='orthogonal'",
    "rslora on all layers": "method='lora', rank=4, rslora=true, targets=['query', 'key', 'value', 'dense']",
    "ia3": "method='ia3'",
    "bitfit": "method='bitfit'",
    "prefix": "method='prefix', virtual_tokens=3",
    "prefix of a network": "method='prefix', virtual_tokens=3, projection=5",
    "prompt": "method='prompt', virtual_tokens=3",
    "bottleneck": "method='bottleneck', reduction=4",
    "bottleneck at one place": "method='bottleneck', reduction=4, placement='pfeiffer', activation='tanh'",
    "head": "method='head'",
    "layer-norm": "method='layer-norm'",
    "last-layers": "method='last-layers', layers=1",
    "p-tuning": "method='p-tuning', virtual_tokens=3, units=5",
    "vera": "method='vera', rank=4",
    "hybrid": "method='hybrid'",
    "hybrid with prefix": "method='hybrid', first={method='prefix', virtual_tokens=3}, second={method='bitfit'}",
    "full": "method='full'",
}
REFUSED = ("method='lora', dora=true", "method='p-tuning', virtual_tokens=3, encoder='lstm'")
BOTH_WAYS = pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])


@BOTH_WAYS
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_what_it_is_alone(
    method: str, packs: bool, open_double: Open, some_members: Any, check_same: Any
) -> None:
    bench = open_double(f"peft={{{METHODS[method]}}}")
    check_same(bench, some_members(bench), packs=packs)


@pytest.mark.parametrize("method", REFUSED)
def test_what_has_no_grouped_form_says_so(method: str, open_double: Open, some_members: Any, together: Any) -> None:
    bench = open_double(f"peft={{{method}}}")
    with pytest.raises(CannotGroupError):
        together(bench, some_members(bench), packs=False)


@pytest.fixture
def bench(open_double: Open) -> Workbench:
    return open_double("peft={method='lora', rank=4, dropout=0.1}")


@BOTH_WAYS
@pytest.mark.parametrize("clients", [1, 2])
def test_of_few_clients_too(clients: int, packs: bool, bench: Workbench, some_members: Any, check_same: Any) -> None:
    check_same(bench, some_members(bench, clients=clients), packs=packs)


RECIPES: dict[str, dict[str, Any]] = {
    "steps": {"steps": 5},
    "one step": {"steps": 1},
    "two epochs": {"epochs": 2},
    "batches of one": {"batch_size": 1},
    "clipping": {"clip_norm": 0.5},
    "weight decay": {"weight_decay": 0.3},
    "layer decay": {"layer_decay": 0.5},
    "layer and weight decay, clipped": {"layer_decay": 0.5, "weight_decay": 0.3, "clip_norm": 0.5},
    "linear, with warm-up": {"schedule": "linear", "warmup_fraction": 0.5, "rounds": 2, "epochs": 2},
    "cosine, third round of 4": {"schedule": "cosine", "round_number": 3, "rounds": 4},
    "FedProx": {"proximal_mu": 5.0, "epochs": 2},
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_part_of_a_recipe_is_followed(
    name: str, bench: Workbench, some_members: Any, check_same: Any, together: Any
) -> None:
    members = some_members(bench, **RECIPES[name])
    check_same(bench, members, packs=True)
    plain, found = together(bench, some_members(bench), packs=True), together(bench, members, packs=True)
    name = members[0].name
    assert max(np.abs(plain[name].numbers[n] - a).max() for n, a in found[name].numbers.items()) > 1e-5


def test_an_elsewhere_decayed_method_decays_alike(open_double: Open, some_members: Any, check_same: Any) -> None:
    """Of a bottleneck matrices decay, and at other rates by depth."""
    bench = open_double("peft={method='bottleneck', reduction=4}")
    check_same(bench, some_members(bench, weight_decay=0.5, layer_decay=0.3), packs=True)


def proximal(members: list[Member], mus: tuple[float, ...], private: tuple[str, ...]) -> list[Member]:
    return [
        replace(m, recipe=replace(m.recipe, proximal_mu=mu), private=private)
        for m, mu in zip(members, mus, strict=True)
    ]


@pytest.mark.parametrize("private", [(), ("head.bias", "head.weight")], ids=["shared", "private head"])
def test_fedprox_ties_each_client_by_its_own_mu(
    private: tuple[str, ...], bench: Workbench, some_members: Any, check_same: Any
) -> None:
    members = proximal(some_members(bench, epochs=2), (0.0, 1.0, 20.0, 0.0, 5.0), private)
    check_same(bench, members, packs=True)


def test_fedprox_ties_no_tensor_that_stays_at_the_site(bench: Workbench, some_members: Any, together: Any) -> None:
    private, mus = ("head.bias", "head.weight"), (20.0,) * 5
    tied = together(bench, proximal(some_members(bench, epochs=2), mus, ()), packs=True)
    free = together(bench, proximal(some_members(bench, epochs=2), mus, private), packs=True)
    for name, outcome in tied.items():
        assert np.abs(outcome.numbers["head.weight"] - free[name].numbers["head.weight"]).max() > 1e-6


@pytest.mark.parametrize("part", ["lora_B", "head", "layer.1"])
def test_tensors_that_are_not_active_keep_every_bit(
    part: str, bench: Workbench, some_members: Any, check_same: Any
) -> None:
    active = [name for name in bench.parameters if part in name]
    assert 0 < len(active) < len(bench.parameters)
    check_same(bench, some_members(bench, active=active, weight_decay=0.5, proximal_mu=1.0), packs=True)


@BOTH_WAYS
@pytest.mark.parametrize("method", ["method='last-layers', layers=1", "method='head'"])
def test_frozen_layers_are_stepped_over(
    method: str, packs: bool, open_double: Open, some_members: Any, check_same: Any, together: Any
) -> None:
    bench = open_double(f"peft={{{method}}}", "training.frozen_dropout=false")
    packs = packs and "head" not in method
    check_same(bench, some_members(bench), packs=packs)
    bench.kept.states.clear()
    together(bench, some_members(bench), packs=packs)
    assert bench.kept.states  # what the frozen layers make of a row, for the next time


@BOTH_WAYS
def test_the_order_in_which_clients_are_given_changes_no_bit(
    packs: bool, bench: Workbench, some_members: Any, together: Any
) -> None:
    members = some_members(bench)
    one, other = together(bench, members, packs=packs), together(bench, [*members[3:], *members[:3]], packs=packs)
    for name, outcome in one.items():
        for tensor, array in outcome.numbers.items():
            np.testing.assert_array_equal(array, other[name].numbers[tensor])


@BOTH_WAYS
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_client_that_diverges_touches_no_other(
    broken: float, packs: bool, bench: Workbench, some_members: Any, together: Any
) -> None:
    members = some_members(bench)
    name = next(name for name in bench.parameters if "lora_B" in name)
    bad = {**members[2].state, name: np.full_like(members[2].state[name], broken)}
    whole = together(bench, members, packs=packs)
    found = together(bench, [*members[:2], replace(members[2], state=bad), *members[3:]], packs=packs)
    assert [each for each, outcome in sorted(found.items()) if outcome.trained is None] == ["client-2"]
    for each in sorted({*found} - {"client-2"}):
        assert found[each].trained == whole[each].trained
        for tensor, array in whole[each].numbers.items():
            np.testing.assert_array_equal(array, found[each].numbers[tensor])


def test_a_loss_that_is_not_finite_is_divergence_though_every_tensor_is(
    bench: Workbench, some_members: Any, together: Any
) -> None:
    members = some_members(bench, active=["head.weight"])
    bad = {**members[0].state, "head.bias": np.array([1.7e308, -1.7e308])}
    found = together(bench, [replace(members[0], state=bad), *members[1:]], packs=True)
    assert [name for name, outcome in found.items() if outcome.trained is None] == ["client-0"]


def test_a_last_step_into_the_void_is_divergence_though_every_loss_was_finite(
    bench: Workbench, some_members: Any, together: Any
) -> None:
    """Of the client that took it alone: decay takes rate times 10, which is beyond float64, off its head's matrix."""
    members = some_members(bench, weight_decay=10.0, steps=1)
    far = replace(members[3], recipe=replace(members[3].recipe, learning_rate=1e308))
    found = together(bench, [*members[:3], far, *members[4:]], packs=True)
    assert [name for name, outcome in found.items() if outcome.trained is None] == ["client-3"]


def test_shortest_and_longest_rows_fit_beside_each_other(
    bench: Workbench, made_texts: Callable[..., list[Example]], member_of: Any, check_same: Any
) -> None:
    """2 positions are the two special tokens of an empty text; 48 are all that the model has."""
    rows = [made_texts(lengths, seed=7) for lengths in ([2, 2], [48, 2, 30], [2], [17])]
    members = [member_of(bench, number, examples) for number, examples in enumerate(rows)]
    for packs in (True, False):
        check_same(bench, members, packs=packs)


def test_looking_at_a_client_in_between_changes_nothing(bench: Workbench, some_members: Any, together: Any) -> None:
    """Scores are made by the same modules, in evaluation mode and with that client's tensors in their places."""
    from client.execution import Execution
    from client.scoring import score
    from simulations.engine.group import train_group
    from simulations.engine.replica import replica_of

    members, seen = some_members(bench), {}
    expected = together(bench, members, packs=True)

    def look(step: Any, after: Any) -> None:
        seen[step.number] = after.score(members[0].examples), after.state()

    told = [
        replace(m, rng=np.random.default_rng(i), after_step=look if i == 0 else None) for i, m in enumerate(members)
    ]
    found = train_group(replica_of(bench), told, Execution(), packs=True)
    assert {name: outcome.trained for name, outcome in found.items()} == {n: o.trained for n, o in expected.items()}
    last, state = seen[max(seen)]
    bench.write(state)
    np.testing.assert_array_equal(last, score(bench, members[0].examples, execution=Execution()))
    for name, array in state.items():
        np.testing.assert_array_equal(array, found["client-0"].state[name])


def test_steps_say_what_they_say_alone(bench: Workbench, some_members: Any) -> None:
    """Rate, loss, the gradient before clipping, and how far the state moved, which only those get who want it."""
    from client.execution import Execution
    from client.steps import Setting
    from client.training import train
    from simulations.engine.group import train_group
    from simulations.engine.replica import replica_of

    members, told = some_members(bench, clip_norm=0.5, schedule="linear"), {"grouped": [], "alone": []}
    own = replace(members[0], after_step=lambda step, _: told["grouped"].append(step), update_norms=True)
    others = [replace(m, after_step=lambda step, _: told.setdefault("unasked", []).append(step)) for m in members[1:]]
    train_group(replica_of(bench), [own, *others], Execution(), packs=True)
    bench.write(own.state)
    train(
        bench, own.examples, own.recipe, active=own.active, execution=Execution(), rng=np.random.default_rng(0),
        dropout_seed=own.dropout_seed, setting=Setting(after_step=told["alone"].append, update_norms=True),
    )  # fmt: skip
    assert len(told["grouped"]) == len(told["alone"]) == own.steps
    for one, other in zip(told["grouped"], told["alone"], strict=True):
        assert (one.number, one.learning_rate) == (other.number, other.learning_rate)
        for figure, near in (
            ("loss", 1e-6),
            ("gradient_norm", 1e-12),
            ("update_norm", 1e-12),
        ):  # a loss is float32 alone
            assert float(getattr(one, figure)) == pytest.approx(float(getattr(other, figure)), rel=near)
    assert all(step.update_norm is None for step in told["unasked"])


def test_a_recipe_without_anything_special_is_the_default() -> None:
    """What `some_members` changes one at a time."""
    plain = Recipe(learning_rate=1.0, batch_size=1)
    assert all(
        getattr(plain, key) != value for recipe in RECIPES.values() for key, value in recipe.items() if value != 1
    )
