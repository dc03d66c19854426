"""Frozen layers below the first trained one: run once for each row, and kept.

With `training.frozen_dropout = false` the blocks of the base model below the first that holds a tensor of the adapter
say the same of a row each time. So what leaves them is computed once and handed to the first trained block; the blocks
below are stepped over. A row is computed alone, in a batch of one: its states then depend on nothing but the row, and a
run that is resumed, which keeps anew, has the same bytes.

Nothing is kept where a method acts below or beside the blocks: on embeddings, by virtual tokens, or in all blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # what a block takes and returns is the base model's own

from client.execution import Execution
from common.errors import StudyError
from common.peft_methods import _targets
from common.tasks import AnyExample
from common.workbench import Workbench

if TYPE_CHECKING:
    from torch import Tensor, nn

KEPT_BYTES = 2**30
"""Of states in memory, per workbench; those of further rows are computed each time, to the same numbers."""


@dataclass(frozen=True)
class FrozenLayers:
    """The blocks of a workbench's model, in their order, of which the first `depth` hold no tensor of the adapter."""

    bench: Workbench
    execution: Execution
    stack: Any
    depth: int

    @classmethod
    def of(cls, bench: Workbench, execution: Execution) -> FrozenLayers | None:
        """Return what can be stepped over; None where that is nothing, or where frozen layers have dropout."""
        if bench.frozen_dropout:
            return None
        try:
            named = _targets.blocks(bench.model)
        except StudyError:
            return None
        depth = _depth(bench, [name for name, _ in named])
        stack = bench.model.get_submodule(named[0][0].rpartition(".")[0])
        return cls(bench, execution, stack, depth) if depth else None

    @contextmanager
    def given(self, examples: Sequence[AnyExample], *, pad_id: int) -> Iterator[None]:
        """Have the model go on from the states of these examples, padded as their batch is, while the block runs."""
        from torch.nn.utils.rnn import pad_sequence

        states = pad_sequence([self.states(example, pad_id=pad_id) for example in examples], batch_first=True)
        blocks = list(self.stack[: self.depth])
        for index, block in enumerate(blocks):
            self.stack[index] = _stepped_over(block, states, in_tuple=self.bench.kept.in_tuple)
        try:
            yield
        finally:
            for index, block in enumerate(blocks):
                self.stack[index] = block

    def states(self, example: AnyExample, *, pad_id: int) -> Tensor:
        """Return (positions, width): what the last block that is stepped over says of one example."""
        kept = self.bench.kept
        if id(example) in kept.states:
            found: Tensor = kept.states[id(example)][1]
            return found
        states = self._computed(example, pad_id)
        size = states.numel() * states.element_size()
        if kept.size_bytes + size <= KEPT_BYTES:
            kept.states[id(example)] = (example, states)  # the example too, so that no other one gets its id
            kept.size_bytes += size
        return states

    def _computed(self, example: AnyExample, pad_id: int) -> Tensor:
        """Run the model on one row, as far as is needed."""
        import torch

        task, bench = self.bench.task, self.bench
        batch = {n: t.to(self.execution.device) for n, t in task.collate([example], pad_id=pad_id).items()}
        hook = self.stack[self.depth - 1].register_forward_hook(_stop)
        try:
            with torch.no_grad(), self.execution.autocast():
                task.logits(bench.model, bench.head, batch)
        except _ReachedError as reached:
            bench.kept.in_tuple = isinstance(reached.output, tuple)
            states: Tensor = reached.output[0] if bench.kept.in_tuple else reached.output
            return states[0].clone()
        finally:
            hook.remove()
        raise StudyError("the base model does not run its blocks in their order; use training.frozen_dropout = true")


def silence_frozen(bench: Workbench) -> None:
    """Put in evaluation mode what comes before the first trained block, unless frozen layers keep their dropout."""
    if bench.frozen_dropout:
        return
    try:
        names = [name for name, _ in _targets.blocks(bench.model)]
    except StudyError:
        return
    depth, stack = _depth(bench, names), names[0].rpartition(".")[0]
    trained = tuple(f"{name}." for name in names[depth:])
    for name, module in bench.model.named_modules() if depth else ():
        holds_stack = f"{stack}.".startswith(f"{name}." if name else "")
        in_trained = f"{name}.".startswith(trained)
        if not holds_stack and not in_trained:
            module.eval()


def _depth(bench: Workbench, names: Sequence[str]) -> int:
    """Return how many blocks come before the first that holds a tensor of the adapter; 0 where one is in no block."""
    head = {id(p) for p in bench.head.parameters()}
    own = {id(p) for p in bench.parameters.values()} - head
    places = [name for name, p in bench.model.named_parameters() if id(p) in own]
    found = [next((i for i, name in enumerate(names) if place.startswith(f"{name}.")), -1) for place in places]
    return max(0, min(found, default=len(names)))


class _ReachedError(Exception):
    """The last block to be stepped over has its output: nothing further is needed."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


def _stop(_module: object, _inputs: object, output: Any) -> None:
    raise _ReachedError(output)


def _stepped_over(block: nn.Module, states: Tensor, *, in_tuple: bool) -> nn.Module:
    """Return a module that stands for a block and returns these states, whatever it is given."""
    from torch import nn

    class SteppedOver(nn.Module):
        def forward(self, *_: object, **__: object) -> Any:
            return (states,) if in_tuple else states

        def __getattr__(self, name: str) -> Any:
            """Models ask a block what kind of attention it has."""
            return getattr(block, name)

    return SteppedOver()
