"""Dropout from a stream of the site's own, on a CPU: the same for a seed, whatever else draws.

Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html. A number is dropped where 16 random bits, as an
integer, are below 65536 p, and what is kept is divided by the share that is kept: p is rounded to a multiple of
2^-16. torch draws a double for each number, one after the other on most CPUs, which takes a tenth of a training step
and more. On a GPU torch's own dropout is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import TYPE_CHECKING, Any  # what torch functions are called with

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    Draw = Callable[[Tensor, float], Tensor]

LEVELS = 2**16
_PER_DRAW = 4
"""Numbers that one output of the generator, 64 bits, decides about."""


class DropoutStream:
    """Which numbers are kept, in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.SFC64(seed)

    def kept(self, shape: Sequence[int], p: float) -> NDArray[np.bool_]:
        """Return which numbers of an array of this shape are kept; each is dropped with probability p in [0, 1]."""
        size = prod(shape)
        drawn = self._bits.random_raw(-(-size // _PER_DRAW)).view(np.uint16)[:size]
        return (drawn >= _dropped_below(p)).reshape(shape)

    def noise(self, like: Tensor, p: float) -> Tensor:
        """Return what `like` is multiplied by: 0, or 1 over the share that is kept."""
        return noise_of(self.kept(like.shape, p), p, like)


def noise_of(kept: NDArray[np.bool_], p: float, like: Tensor) -> Tensor:
    """Return 0 where a number is not kept, else 1 over the share that is; dtype and device of `like`."""
    import torch

    share = 1 - _dropped_below(p) / LEVELS
    found = torch.from_numpy(kept).to(dtype=like.dtype, device=like.device)
    return found.mul_(1 / share) if share else found


def _dropped_below(p: float) -> int:
    """Return how many of the levels are dropped.

    >>> _dropped_below(0.1), _dropped_below(0.5), _dropped_below(0.0)
    (6554, 32768, 0)
    """
    return round(p * LEVELS)


def dropout_by(draw: Draw, *, device: str = "cpu") -> AbstractContextManager[object]:
    """Return the context in which dropout in training multiplies by `draw(input, p)`; on other devices a plain one."""
    if device != "cpu":
        return nullcontext()
    from torch.overrides import TorchFunctionMode

    class DropoutBy(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func not in _dropouts():
                return func(*args, **kwargs)
            return _dropped(draw, *args, **kwargs)

    return DropoutBy()


def _dropouts() -> tuple[Callable[..., Tensor], ...]:
    import torch

    return (torch.nn.functional.dropout, torch.dropout)


def _dropped(draw: Draw, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or not p:
        return input
    noise = draw(input, p)
    return input.mul_(noise) if inplace else input * noise
