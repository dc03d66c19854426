"""Gradients of rows by torch.func: the gradient of one row's loss, mapped over the rows of a batch.

It is right for any use of a tensor, also where no layer is called with it (IA3, DoRA, VeRA, virtual tokens), as long as
the model's way through its layers does not depend on the values of a row.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # arguments of transformers' models

from client.row_gradients import SLOWER, batch_of, both_of, names_in
from common.tasks import AnyExample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from client.execution import Execution
    from client.row_gradients import Batch, Gradients
    from common.workbench import Workbench


@dataclass(frozen=True)
class FunctionalGradients:
    """places: {canonical name: name in `both`} of the tensors that are trained."""

    bench: Workbench
    execution: Execution
    both: nn.Module
    places: Mapping[str, str]

    @classmethod
    def start(cls, bench: Workbench, execution: Execution) -> FunctionalGradients:
        """Look the trained tensors up."""
        both = _with_loss(bench, execution)
        return cls(bench, execution, both, names_in(both, bench))

    def of(self, examples: Sequence[AnyExample]) -> tuple[Tensor, Gradients]:
        """Return the losses (rows,) and gradients (rows, *shape)."""
        from torch.func import functional_call, grad_and_value, vmap

        def loss(parameters: Mapping[str, Tensor], row: Batch) -> Tensor:
            value: Tensor = functional_call(self.both, dict(parameters), (row,))
            return value

        own = {place: self.bench.parameters[name].detach() for name, place in self.places.items()}
        with _masks_made_ready(self.bench.model), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=SLOWER, category=UserWarning)
            mapped = vmap(grad_and_value(loss), in_dims=(None, 0), randomness="different")
            gradients, losses = mapped(own, batch_of(self.bench, examples, self.execution))
        return losses, {name: gradients[place] for name, place in self.places.items()}

    def close(self) -> None:
        """Nothing was changed."""


def _with_loss(bench: Workbench, execution: Execution) -> nn.Module:
    """Return base model and head as one module that turns a row into its loss."""
    from torch import nn

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = both_of(bench)

        def forward(self, row: Batch) -> Tensor:
            alone = {name: tensor.unsqueeze(0) for name, tensor in row.items()}
            with execution.autocast():
                logits = bench.task.logits(bench.model, bench.head, alone)
            return bench.task.loss(logits.float(), alone)

    return WithLoss()


@contextmanager
def _masks_made_ready(model: nn.Module) -> Iterator[None]:
    """Give encoders the mask that is added to attention scores, (rows, 1, 1, positions), instead of that of padding.

    From the latter transformers makes it after a look at its values, which a map over rows does not allow.
    """
    hooks = [
        module.register_forward_pre_hook(_make_mask_ready, with_kwargs=True)
        for module in model.modules()
        if _is_encoder(module)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_encoder(module: Any) -> bool:
    from transformers import PreTrainedModel

    return isinstance(module, PreTrainedModel) and not _looks_back_only(module)


def _looks_back_only(model: Any) -> bool:
    attention = [module for module in model.modules() if hasattr(module, "is_causal")]
    return bool(attention) and all(module.is_causal for module in attention)


def _make_mask_ready(
    _: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import torch

    mask = kwargs.get("attention_mask")
    if mask is None or mask.dim() != 2:
        return args, kwargs
    added = (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
    return args, {**kwargs, "attention_mask": added}
