"""A second model: frozen tensors shared, trained ones of its own, and everything back in its place afterwards."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from common.workbench import Workbench
from simulations.engine.layout import Here, Layout
from simulations.engine.members import Columns, Numbers
from simulations.engine.replica import replica_of

METHODS = (
    "method='lora', rank=2",
    "method='prefix', virtual_tokens=3",
    "method='full'",
    "method='hybrid'",
    "method='vera'",
)


@pytest.fixture(params=METHODS)
def bench(request: pytest.FixtureRequest, open_double: Callable[..., Workbench]) -> Workbench:
    return open_double(f"peft={{{request.param}}}")


def named(bench: Workbench) -> Iterator[tuple[str, torch.Tensor]]:
    for root in (bench.model, bench.head):
        yield from root.named_parameters(remove_duplicate=False)
        yield from root.named_buffers(remove_duplicate=False)


def test_frozen_tensors_are_shared_and_trained_ones_are_not(bench: Workbench) -> None:
    own, copy = list(named(bench)), list(named(replica_of(bench).bench))
    trained = {id(parameter) for parameter in bench.parameters.values()}
    assert [name for name, _ in own] == [name for name, _ in copy]
    for (name, one), (_, other) in zip(own, copy, strict=True):
        assert (one.data_ptr() != other.data_ptr()) == (id(one) in trained), name
        assert torch.equal(one, other)


def test_a_replica_carries_nothing_of_the_model_s_and_what_it_carries_is_its_own(open_double: Any) -> None:
    bench = open_double("peft={method='lora', rank=2}")
    ids = {"input_ids": torch.tensor([[3, 5, 9]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}

    def says(found: Workbench) -> torch.Tensor:
        found.model.eval()
        with torch.no_grad():
            return found.model(**ids).last_hidden_state.clone()

    bench.write(bench.read())  # in float32, as a run's is
    plain, state = says(bench), bench.read()
    own = {n: a for n, a in state.items() if "lora_" in n}
    carrying = {**state, **{f"carried.{name}": np.full_like(array, 0.5) for name, array in own.items()}}
    bench.write(carrying)
    carried = says(bench)
    assert not torch.equal(plain, carried)
    one, other = replica_of(bench).bench, replica_of(bench).bench
    assert torch.equal(says(one), plain)
    assert torch.equal(says(bench), carried)
    one.write(carrying)
    other.write(state)
    assert torch.equal(says(one), carried)
    assert torch.equal(says(other), plain)
    assert torch.equal(says(bench), carried)


def test_no_module_is_shared(bench: Workbench) -> None:
    replica = replica_of(bench)
    for root in ("model", "head"):
        own = {id(module) for module in getattr(bench, root).modules()}
        assert not own & {id(module) for module in getattr(replica.bench, root).modules()}


def test_parameters_are_the_copy_s_by_the_same_names(bench: Workbench) -> None:
    replica = replica_of(bench)
    assert list(replica.bench.parameters) == list(bench.parameters) == list(replica.places)
    found = {id(p) for root in (replica.bench.model, replica.bench.head) for p in root.parameters()}
    assert all(id(parameter) in found for parameter in replica.bench.parameters.values())
    assert all(replica.places.values())


def contents(bench: Workbench) -> dict[tuple[int, str], tuple[int, int]]:
    modules = [m for root in (bench.model, bench.head) for m in root.modules()]
    return {(id(m), n): (id(p), p._version) for m in modules for n, p in m._parameters.items() if p is not None}


@pytest.mark.parametrize("fails", [False, True])
def test_held_tensors_are_in_their_places_and_the_model_s_own_are_back_after(
    fails: bool, bench: Workbench, some_members: Any
) -> None:
    replica, here, members = replica_of(bench), Here(Layout(())), some_members(bench)
    numbers = Numbers.of(members, bench, Columns.of(bench, members[0].active))
    before = contents(replica.bench), contents(bench)
    grouped = numbers.grouped(3, here)
    try:
        with replica.holding(grouped, here):
            for name, places in replica.places.items():
                assert all(module._parameters[attribute] is grouped[name] for module, attribute in places)
            if fails:
                raise LookupError
    except LookupError:
        pass
    assert (contents(replica.bench), contents(bench)) == before


def test_a_tensor_in_two_places_is_held_in_both() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 3)
            self.other.weight = self.one.weight

    model = Tied()
    bench: Any = Workbench(None, None, model, nn.Identity(), {"w": model.one.weight}, None, 1, 1)  # type: ignore[arg-type]
    replica = replica_of(bench)
    assert len(replica.places["w"]) == 2
    with replica.holding({"w": torch.zeros(2, 3, 3)}, Here(Layout(()))):
        copy: Any = replica.bench.model
        assert copy.one.weight is copy.other.weight
    assert replica.bench.model.one.weight is replica.bench.model.other.weight is replica.bench.parameters["w"]
