"""What the methods share that train parameters of the base model itself: the originals are kept, and given back.

The copies lie beside the model, on its device, and double the memory of what is trained. A BatchNorm that is trained
may learn its running statistics as well (see `_batch_norms`), so that they are kept with its parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast  # the copies are an attribute that torch does not know

from common.peft_methods._batch_norms import batch_norms, statistics

if TYPE_CHECKING:
    from torch import nn

KEPT = "fedpeft_originals"


def thaw(base: nn.Module, names: Iterable[str]) -> nn.Module:
    """Make the parameters `names` of `base` trainable, and return `base`."""
    parameters, chosen = dict(base.named_parameters()), tuple(names)
    of_norms = {name.rpartition(".")[0] for name in chosen}
    own = statistics({name: norm for name, norm in batch_norms(base).items() if name in of_norms})
    tensors = {**{name: parameters[name] for name in chosen}, **own}
    kept = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    for name in chosen:
        parameters[name].requires_grad_(True)
    setattr(base, KEPT, {**getattr(base, KEPT, {}), **kept})
    return base


def restore(base: nn.Module) -> nn.Module:
    """Undo every `thaw` of `base` bit by bit, and return it."""
    kept = cast("Any", getattr(base, KEPT, {}))
    for name, tensor in [*base.named_parameters(), *base.named_buffers()]:
        if name in kept:
            tensor.data.copy_(kept[name])
            tensor.grad = None
            tensor.requires_grad_(False)
    setattr(base, KEPT, {})
    return base


def merge(base: nn.Module) -> nn.Module:
    """Let every trained tensor of `base` stay as it is, forget the originals, and return it."""
    if hasattr(base, KEPT):
        delattr(base, KEPT)
    return base.requires_grad_(False)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are to be trained, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
