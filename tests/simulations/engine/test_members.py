"""The clients' numbers side by side: laid out by name, each tensor a view, gradients gathered where they belong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from client.batches import training_batches
from common.workbench import Workbench
from simulations.engine.layout import Here, Layout
from simulations.engine.members import Columns, Numbers


@pytest.fixture
def bench(open_double: Callable[..., Workbench]) -> Workbench:
    return open_double("peft={method='lora', rank=4}")


def active_of(bench: Workbench) -> list[str]:
    return [name for name in bench.parameters if "lora_A" in name or name == "head.weight"]


@pytest.fixture
def members(bench: Workbench, some_members: Any) -> Any:
    return some_members(bench, active=active_of(bench))


@pytest.fixture
def numbers(bench: Workbench, members: Any) -> Numbers:
    return Numbers.of(members, bench, Columns.of(bench, members[0].active))


def test_every_tensor_has_columns_of_its_own(bench: Workbench) -> None:
    columns = Columns.of(bench, active_of(bench))
    assert set(columns.moving) == set(active_of(bench))
    assert set(columns.moving) | set(columns.still) == set(bench.parameters)
    for part in (columns.moving, columns.still):
        taken = np.concatenate([np.arange(begin, begin + int(np.prod(s))) for begin, s in part.values()])
        np.testing.assert_array_equal(np.sort(taken), np.arange(len(taken)))
        assert {name: shape for name, (_, shape) in part.items()} == {n: bench.parameters[n].shape for n in part}


def test_what_marks_a_tensor_marks_all_its_numbers(bench: Workbench) -> None:
    columns = Columns.of(bench, active_of(bench))
    found = columns.marked({name: i for i, name in enumerate(columns.moving)}.__getitem__, like=torch.zeros(0))
    for i, (begin, shape) in enumerate(columns.moving.values()):
        assert (found[begin : begin + int(np.prod(shape))] == i).all()
    assert len(Columns.of(bench, ()).marked(lambda _: 1.0, like=torch.zeros(0))) == 0


def test_states_are_read_and_given_back(members: Any, numbers: Numbers) -> None:
    for client, member in enumerate(members):
        found = numbers.state(client)
        assert list(found) == sorted(member.state)
        for name, array in found.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, member.state[name].astype(np.float32))


def test_a_state_that_was_given_back_does_not_move_with_the_numbers(numbers: Numbers) -> None:
    before = numbers.state(0)
    kept = {name: array.copy() for name, array in before.items()}
    numbers.moving.add_(1.0)
    for name, array in before.items():
        np.testing.assert_array_equal(array, kept[name])


@pytest.mark.parametrize("clients", [1, 3, 5])
@pytest.mark.parametrize("way", ["batched", "one by one"])
def test_gradients_gather_where_the_client_s_numbers_are(
    clients: int, way: str, bench: Workbench, numbers: Numbers
) -> None:
    """Whether a call takes all clients' matrices at once, or each client's."""
    grouped = numbers.grouped(clients, Here(Layout(())))["head.weight"]
    begin, shape = numbers.columns.moving["head.weight"]
    inputs = torch.randn(clients, 7, shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if way == "batched":
        torch.bmm(inputs, grouped.stacked.transpose(1, 2)).square().sum().backward()
    else:
        sum(functional.linear(x, w).square().sum() for x, w in zip(inputs, grouped.parts, strict=True)).backward()
    for client in range(clients):
        weight = numbers.moving[client, begin : begin + int(np.prod(shape))].reshape(shape).clone().requires_grad_()
        functional.linear(inputs[client], weight).square().sum().backward()
        own = numbers.gradients[client, begin : begin + int(np.prod(shape))].reshape(shape)
        torch.testing.assert_close(own, weight.grad, rtol=1e-13, atol=1e-13)
    rest = numbers.gradients.clone()
    rest[:clients, begin : begin + int(np.prod(shape))] = 0
    assert not rest.any()


def test_tensors_that_stay_ask_for_no_gradient(numbers: Numbers) -> None:
    grouped = numbers.grouped(2, Here(Layout(())))
    for name in numbers.columns.still:
        assert not any(part.requires_grad for part in grouped[name].parts)
    for name in numbers.columns.moving:
        assert all(part.requires_grad for part in grouped[name].parts)


@pytest.mark.parametrize("recipe", [{}, {"steps": 7}, {"epochs": 3}, {"steps": 1, "batch_size": 100}])
def test_a_member_takes_as_many_steps_as_it_has_batches(recipe: dict[str, Any], members: Any) -> None:
    for member in members:
        own = replace(member.recipe, **recipe)
        batches = training_batches(
            [e.length for e in member.examples], batch_size=own.batch_size, epochs=own.epochs, steps=own.steps,
            rng=np.random.default_rng(0),
        )  # fmt: skip
        assert replace(member, recipe=own).steps == len(list(batches))
