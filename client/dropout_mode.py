"""What stands in the way of torch's own dropout; a file of its own, since it cannot be without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any  # what torch functions are called with

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from client.dropout import Draw

_DROPOUTS = frozenset({torch.nn.functional.dropout, torch.dropout})


class DropoutBy(TorchFunctionMode):
    """Multiplies by `draw(input, p)` where a number would be dropped."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self._draw = draw

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what is called, or drop."""
        if func in _DROPOUTS:
            return _dropped(self._draw, *args, **(kwargs or {}))
        return func(*args, **kwargs) if kwargs else func(*args)


def _dropped(draw: Draw, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or not p:
        return input
    noise = draw(input, p)
    return input.mul_(noise) if inplace else input * noise
