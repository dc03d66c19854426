"""Whether groups gain by threads: work as torch's own counter finds it, and the choice by hand."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from client.execution import Execution
from client.forward import pad_id, to_device
from client.training import set_training_mode
from common.tasks import Example
from common.workbench import Workbench
from simulations.engine.threads import PAYING_FLOPS, Counting, flops_per_operation, threads_pay

CPU = Execution()


def rows(count: int, length: int) -> list[Example]:
    return [Example(tuple(range(1, length + 1)), 1)] * count


@pytest.mark.parametrize(("count", "length"), [(1, 5), (2, 9), (7, 3)])
def test_the_work_is_what_torchs_own_counter_finds(
    count: int, length: int, open_bench: Callable[..., Workbench]
) -> None:
    bench = open_bench("peft={method='lora', rank=4}")
    set_training_mode(bench)
    batch = to_device(bench.task.collate(rows(count, length), pad_id=pad_id(bench)), CPU)
    counted, oracle = Counting(), FlopCounterMode(display=False)
    for each in (counted, oracle):
        with torch.no_grad(), each:
            bench.task.logits(bench.model, bench.head, batch)
    assert counted.flops == oracle.get_total_flops() > 0
    found = flops_per_operation(bench, rows(count, length), CPU)
    assert found * count * length * counted.operations == pytest.approx(counted.flops)


def test_counting_leaves_no_gradient_and_no_number_behind(open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench("peft={method='lora', rank=4}")
    before, drawn = bench.read(), torch.get_rng_state()
    flops_per_operation(bench, rows(2, 9), replace(CPU, threads=2))
    assert all((bench.read()[name] == before[name]).all() for name in before)
    assert all(parameter.grad is None for parameter in bench.parameters.values())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_every_operation_is_counted_once() -> None:
    one, other = torch.ones(3, 4), torch.ones(4, 5)
    with Counting() as counted:
        (one @ other).relu().sum()
    assert (counted.operations, counted.flops) == (3, 2 * 3 * 4 * 5)


@given(clients=st.integers(1, 99), at_once=st.integers(1, 99), tokens=st.integers(1, 9999), flops=st.floats(0.1, 1e6))
def test_threads_pay_from_a_size_on_and_wherever_one_group_does_not_hold_all(
    clients: int, at_once: int, tokens: int, flops: float
) -> None:
    pays = threads_pay(clients=clients, at_once=at_once, step_tokens=tokens, flops=flops)
    assert pays == (clients > at_once or flops >= PAYING_FLOPS / (clients * tokens))
