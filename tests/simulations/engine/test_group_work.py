"""How much a step of several clients computes, counted and never timed: a guard against work that grows unseen."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from client.execution import Execution
from client.recipe import Recipe
from client.training import train
from common.tasks import Example
from common.workbench import Workbench
from simulations.engine.group import train_group
from simulations.engine.members import Member
from simulations.engine.replica import replica_of

CLIENTS = 4
ROWS = 4
EXECUTION = Execution()
RECIPE = Recipe(learning_rate=1e-3, batch_size=ROWS, clip_norm=1.0)
EQUAL = [[9] * ROWS, [4] * ROWS, [13] * ROWS, [6] * ROWS]
"""Lengths of each client's rows: alone, no client has padding; together, padded to the longest, three would have."""
UNEQUAL = [[9, 4, 7, 12], [5, 5, 3, 4], [13, 3, 6, 2], [6, 7, 8, 9]]
MOST_OPERATIONS = {True: 2060, False: 1200}
"""Of one step of four clients over two blocks, packed and padded: today's 1871 and 1088, and a tenth more."""
MOST_GROWTH = {True: 2.5, False: 1.7}
"""Of four clients' operations over one client's, today 2.3 and 1.5; 4 is what they take one after the other. Packed,
each client has attention of its own."""


class Counting(TorchDispatchMode):
    """Counts what is asked of torch, and products with each of some matrices, wherever a view of them is a factor."""

    def __init__(self, matrices: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self._matrices = {matrix.data_ptr(): number for number, matrix in enumerate(matrices)}
        self.products: Counter[int] = Counter()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        self.operations += 1
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm):
            for factor in args[-2:]:
                if factor.data_ptr() in self._matrices:
                    self.products[self._matrices[factor.data_ptr()]] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def bench(open_bench: Callable[..., Workbench]) -> Workbench:
    return open_bench("peft={method='lora', rank=4}")


def members(bench: Workbench, lengths: Sequence[Sequence[int]]) -> list[Member]:
    state, found = bench.read(), []
    for client, sizes in enumerate(lengths):
        rng = np.random.default_rng(client)
        rows = [Example(tuple(rng.integers(5, 50, size).tolist()), client % 2) for size in sizes]
        found.append(Member(f"c{client}", rows, RECIPE, state, frozenset(bench.parameters), rng, client))
    return found


def frozen_matrices(bench: Workbench) -> list[torch.Tensor]:
    own = {id(parameter) for parameter in bench.parameters.values()}
    layers = [m for m in bench.model.modules() if isinstance(m, nn.Linear) and id(m.weight) not in own]
    return [layer.weight for layer in layers]


def counted(bench: Workbench, lengths: Sequence[Sequence[int]], *, packs: bool) -> Counting:
    replica, counting = replica_of(bench), Counting(frozen_matrices(bench))
    with counting:
        train_group(replica, members(bench, lengths), EXECUTION, packs=packs)
    return counting


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])
def test_the_base_model_multiplies_once_however_many_clients_there_are(bench: Workbench, packs: bool) -> None:
    one, four = (counted(bench, EQUAL[:clients], packs=packs) for clients in (1, CLIENTS))
    assert len(four.products) == len(frozen_matrices(bench))
    assert four.products == one.products
    # Once forward; once backward, but for what lies below the first adapter, where no gradient is asked for.
    assert set(four.products.values()) <= {1, 2}


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "padded"])
def test_operations_do_not_grow_with_the_clients(bench: Workbench, packs: bool) -> None:
    one, four = (counted(bench, EQUAL[:clients], packs=packs).operations for clients in (1, CLIENTS))
    assert four <= MOST_OPERATIONS[packs]
    assert four <= MOST_GROWTH[packs] * one


def flops_together(bench: Workbench, lengths: Sequence[Sequence[int]], *, packs: bool) -> int:
    replica = replica_of(bench)
    with flops() as counter:
        train_group(replica, members(bench, lengths), EXECUTION, packs=packs)
    return counter.get_total_flops()


def flops_alone(bench: Workbench, lengths: Sequence[Sequence[int]]) -> int:
    with flops() as counter:
        for m in members(bench, lengths):
            bench.write(m.state)
            train(
                bench, m.examples, RECIPE, active=m.active, execution=EXECUTION, rng=m.rng, dropout_seed=m.dropout_seed
            )
    return counter.get_total_flops()


@contextmanager
def flops() -> Iterator[FlopCounterMode]:
    with FlopCounterMode(display=False) as counter:
        yield counter


def test_packing_wastes_nothing(bench: Workbench) -> None:
    assert flops_together(bench, EQUAL, packs=True) == flops_alone(bench, EQUAL)


def test_padding_would(bench: Workbench) -> None:
    """Else the test above could not fail."""
    assert flops_together(bench, EQUAL, packs=False) > 1.3 * flops_alone(bench, EQUAL)


def test_packing_spares_what_a_client_pads_alone(bench: Workbench) -> None:
    assert flops_together(bench, UNEQUAL, packs=True) < flops_alone(bench, UNEQUAL)
