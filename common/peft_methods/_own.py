"""What the methods share that train parameters of the base model itself: the originals are kept, and given back.

The copies lie beside the model, on its device, and double the memory of what is trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast  # the copies are an attribute that torch does not know

if TYPE_CHECKING:
    from torch import nn

KEPT = "fedpeft_originals"


def thaw(base: nn.Module, names: Iterable[str]) -> nn.Module:
    """Make the parameters `names` of `base` trainable, and return `base`."""
    parameters, kept = dict(base.named_parameters()), {}
    for name in names:
        kept[name] = parameters[name].detach().clone()
        parameters[name].requires_grad_(True)
    setattr(base, KEPT, {**getattr(base, KEPT, {}), **kept})
    return base


def restore(base: nn.Module) -> nn.Module:
    """Undo every `thaw` of `base` bit by bit, and return it."""
    parameters = dict(base.named_parameters())
    for name, original in cast("Any", getattr(base, KEPT, {})).items():
        parameters[name].data.copy_(original)
        parameters[name].grad = None
        parameters[name].requires_grad_(False)
    setattr(base, KEPT, {})
    return base


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are to be trained, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
