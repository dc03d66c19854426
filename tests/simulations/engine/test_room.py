"""How many clients a group takes: by hand, and against what a step really keeps."""

import gc
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from client.execution import Execution
from client.site_rows import SiteRows, SplitRows
from common.tasks import Example
from common.workbench import Workbench
from simulations.engine.room import (
    FULL_TOKENS,
    MOST_CLIENTS,
    clients_that_fill,
    clients_that_fit,
    free_bytes,
    step_bytes,
)

CPU = Execution()


def sites_of(*lengths: list[int]) -> Mapping[str, SiteRows]:
    empty = SplitRows([], [], [])  # type: ignore[arg-type] # labels are not looked at
    parts = [SplitRows([Example((1,) * size, 0) for size in each], [], []) for each in lengths]  # type: ignore[arg-type]
    return {str(number): SiteRows(part, empty, empty) for number, part in enumerate(parts)}


def test_clients_fill_a_step_by_the_tokens_of_the_middle_site() -> None:
    """Batches of 4: rows of 10, 32 and 100 positions make steps of 40, 128 and 400 tokens; 4096 / 128 = 32 clients."""
    assert FULL_TOKENS == 4096
    assert clients_that_fill(sites_of([10] * 9, [32] * 7, [100] * 5), 4, CPU) == 32
    assert clients_that_fill(sites_of([10] * 9, [30, 34] * 4, [100] * 5), 4, CPU) == 32  # by the mean length
    assert clients_that_fill(sites_of([64, 64]), 4, CPU) == 32  # fewer rows than a batch
    assert clients_that_fill(sites_of([64, 64], []), 4, CPU) == 32  # a site without rows takes no steps
    assert clients_that_fill(sites_of([1] * 4), 4, CPU) == MOST_CLIENTS
    assert clients_that_fill(sites_of([9000] * 4), 4, CPU) == 1
    assert clients_that_fill(sites_of([]), 4, CPU) == 1
    gpu = Execution(device="cuda:0")
    assert clients_that_fill(sites_of([256] * 16), 8, gpu) == 16  # 32768 / 2048


@given(free=st.integers(0, 2**40), step=st.integers(0, 2**34), workers=st.integers(1, 64))
def test_all_workers_groups_take_half_of_what_is_free(free: int, step: int, workers: int) -> None:
    found = clients_that_fit(free, step, workers=workers)
    assert found >= 1
    assert found == 1 or found * step * workers <= free / 2
    assert (found + 1) * max(step, 1) * workers > free / 2


def examples(count: int, length: int) -> list[Example]:
    return [Example(tuple(range(1, length + 1)), 1)] * count


def kept_by_autograd(bench: Workbench, rows: list[Example]) -> int:
    """Bytes of the tensors in the graph of a step, found by walking it, not by hooks on what is saved."""
    bench.model.train()
    batch = bench.task.collate(rows, pad_id=0)
    loss = bench.task.loss(bench.task.logits(bench.model, bench.head, batch), batch)
    frozen = {p.data_ptr() for root in (bench.model, bench.head) for p in [*root.parameters(), *root.buffers()]}
    sizes: dict[int, int] = {}
    waiting: list[Any] = [loss.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        saved = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
        for value in (v for each in saved for v in (each if isinstance(each, tuple) else (each,))):
            if isinstance(value, torch.Tensor) and value.data_ptr() not in frozen:
                sizes[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        waiting += [following for following, _ in node.next_functions]
    return sum(sizes.values())


@pytest.mark.parametrize("method", ["method='lora', rank=4", "method='prefix', virtual_tokens=5", "method='full'"])
@pytest.mark.parametrize("size", [(8, 30), (1, 2)], ids=["many", "fewer than frozen tensors have"])
def test_a_step_s_bytes_are_those_that_its_backward_pass_needs(
    size: tuple[int, int], method: str, open_double: Callable[..., Workbench]
) -> None:
    bench, rows = open_double(f"peft={{{method}}}"), examples(*size)
    counted, expected = step_bytes(bench, rows, CPU), kept_by_autograd(bench, rows)
    assert expected / 2 < counted < expected * 2


def test_bytes_grow_with_rows_and_frozen_tensors_do_not_count(open_double: Callable[..., Workbench]) -> None:
    bench = open_double("peft={method='lora', rank=4}")
    one, many = step_bytes(bench, examples(1, 30), CPU), step_bytes(bench, examples(16, 30), CPU)
    assert 12 < many / one <= 16
    assert step_bytes(bench, examples(4, 40), CPU) > 2 * step_bytes(bench, examples(4, 15), CPU)


def test_measuring_leaves_no_trace(open_double: Callable[..., Workbench]) -> None:
    bench = open_double("peft={method='lora', rank=4, dropout=0.5}")
    before, state = torch.random.get_rng_state(), bench.read()
    step_bytes(bench, examples(2, 9), CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all((array == state[name]).all() for name, array in bench.read().items())
    assert all(parameter.grad is None for parameter in bench.parameters.values())


def test_this_machine_has_some_memory() -> None:
    assert 2**20 < free_bytes("cpu") < 2**50


def test_nothing_of_the_measured_step_is_kept(open_bench: Callable[..., Workbench]) -> None:
    """Nodes that hold their own output as it is, such as a softmax's, would keep the whole step for ever."""
    bench = open_bench("peft={method='prefix', virtual_tokens=3}")

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    step_bytes(bench, examples(2, 9), CPU)
    before = tensors()
    step_bytes(bench, examples(2, 9), CPU)
    assert tensors() == before
