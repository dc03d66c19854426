"""Whether groups gain by threads of their own: where Python is most of a step, threads only wait for each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final  # torch's dispatch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from client.execution import Execution
from client.forward import pad_id, to_device
from client.training import forked, set_training_mode
from common.tasks import AnyExample
from common.workbench import Workbench

PAYING_FLOPS: Final = 1e6
"""Of one operation of a forward pass, all clients of a round in it. Python and dispatch take about as long as a core
takes for so many, and one thread at a time does them: below, two half groups are no sooner done than the whole one
(measured: docs/benchmarks.md). Counted rather than timed, so that a study that is run anew has the same bytes."""


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's own
    """Counts the operations of this thread, and the floating-point operations of its products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's own
        self.operations = 0
        self.flops = 0.0

    def __torch_dispatch__(  # torch's own protocol
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        self.operations += 1
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=found)
        return found


def flops_per_operation(bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> float:
    """Return the floating-point operations in a forward pass of these, of each token in each of torch's operations."""
    set_training_mode(bench)
    batch = to_device(bench.task.collate(examples, pad_id=pad_id(bench)), execution)
    with forked(execution, 0), torch.no_grad(), Counting() as counted, execution.autocast():
        bench.task.logits(bench.model, bench.head, batch)
    tokens = len(examples) * max(example.length for example in examples)
    found: float = counted.flops / (counted.operations * tokens)
    return found


def threads_pay(*, clients: int, at_once: int, step_tokens: float, flops: float) -> bool:
    """Return whether several groups side by side are sooner done than one.

    clients: of a round. at_once: the most in a group; with more clients there are several groups anyway. step_tokens:
    of a client. flops: of a token in each operation.

    >>> threads_pay(clients=4, at_once=8, step_tokens=400, flops=37_000)  # MiniLM
    True
    >>> threads_pay(clients=4, at_once=8, step_tokens=100, flops=160)  # two narrow blocks
    False
    """
    return clients > at_once or clients * step_tokens * flops >= PAYING_FLOPS
