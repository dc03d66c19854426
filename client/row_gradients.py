"""The seam of gradients of single rows: what a private step is made of, and the slow way that everything is held to.

An engine gives the gradient of each row's own loss, as if the row were a batch alone; `client.private_check` chooses
one that is right for the study's method, task and base model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from client.execution import Execution
from client.forward import pad_id, to_device
from common.tasks import AnyExample
from common.workbench import Workbench

if TYPE_CHECKING:
    from torch import Tensor, nn

    Batch = Mapping[str, Tensor]
    Gradients = Mapping[str, Tensor]


SLOWER: Final = "There is a performance drop because we have not yet implemented the batching rule"
"""What torch says of an operation that it maps over rows one by one."""


class RowGradients(Protocol):
    """Gradients of rows, of the parameters that require one when the engine is made; made afresh for each round."""

    def of(self, examples: Sequence[AnyExample]) -> tuple[Tensor, Gradients]:
        """Return (rows,) the loss of each row, and by canonical name (rows, *shape) the gradients."""
        ...

    def close(self) -> None:
        """Leave the model as it was before the engine was made."""
        ...


Start = Callable[[Workbench, Execution], RowGradients]
"""Makes an engine."""


def trained(bench: Workbench) -> dict[str, nn.Parameter]:
    """Return the parameters that require a gradient, by canonical name."""
    return {name: parameter for name, parameter in bench.parameters.items() if parameter.requires_grad}


def batch_of(bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> Batch:
    """Return these rows as one batch on the device."""
    return to_device(bench.task.collate(examples, pad_id=pad_id(bench)), execution)


def loss_of_each(bench: Workbench, logits: Tensor, batch: Batch) -> Tensor:
    """Return (rows,) the task's loss of each row as of a batch alone: no row counts in another's mean."""
    import torch

    rows = range(len(logits))
    parts = [{name: tensor[row : row + 1] for name, tensor in batch.items()} for row in rows]
    return torch.stack([bench.task.loss(logits[row : row + 1], part) for row, part in zip(rows, parts, strict=True)])


def slow_gradients(bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> Gradients:
    """Return (rows, *shape) by canonical name: one forward and one backward pass for each row."""
    import torch

    found: dict[str, list[Tensor]] = {name: [] for name in trained(bench)}
    for example in examples:
        batch = batch_of(bench, [example], execution)
        with execution.autocast():
            logits = bench.task.logits(bench.model, bench.head, batch)
        loss = bench.task.loss(logits.float(), batch)
        parameters = list(trained(bench).values())
        for name, gradient in zip(found, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            found[name].append(torch.zeros_like(bench.parameters[name]) if gradient is None else gradient)
    return {name: torch.stack(rows) for name, rows in found.items()}


def both_of(bench: Workbench) -> nn.Module:
    """Return base model and head as one module, whose parameters then have one namespace; it has no forward."""
    from torch import nn

    return nn.ModuleDict({"model": bench.model, "head": bench.head})


def names_in(both: nn.Module, bench: Workbench) -> dict[str, str]:
    """Return {canonical name: name in `both`} of the parameters that require a gradient."""
    places = {id(parameter): place for place, parameter in both.named_parameters()}
    return {name: places[id(parameter)] for name, parameter in trained(bench).items()}
