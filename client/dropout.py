"""Dropout from a stream of the site's own: the same for a seed and a kind of device, whatever else draws.

Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html. p is rounded to a multiple of 2^-16, and what is
kept is divided by the share that is kept. On a CPU a number is dropped where 16 random bits, as an integer, are below
65536 p: torch draws a double for each number, one after the other on most CPUs, which takes a tenth of a training step
and more. On a GPU a generator of torch's draws there. Only what a fused attention drops inside of its kernel is torch's
own (`Execution.attention`): no stream can be handed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Draw = Callable[[Tensor, float], Tensor]

LEVELS = 2**16
_PER_DRAW = 4
"""Numbers that one output of the generator, 64 bits, decides about."""


class DropoutStream(Protocol):
    """Which numbers are kept, in the order in which they are asked for."""

    def kept(self, shape: Sequence[int], p: float) -> Tensor:
        """Return which numbers of a tensor of this shape are kept, bool; each is dropped with probability p in [0, 1].

        They depend on how many numbers were asked for before, not on the dtype of what is dropped.
        """
        ...


def stream_of(seed: int, *, device: str) -> DropoutStream:
    """Return the stream of a seed on a device."""
    if device == "cpu":
        return CpuStream(seed)
    import torch

    return GeneratorStream(torch.Generator(device).manual_seed(seed), device)


class CpuStream:
    """Draws 16 bits for each number."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.SFC64(seed)

    def kept(self, shape: Sequence[int], p: float) -> Tensor:
        """Return which numbers of a tensor of this shape are kept."""
        import torch

        size = prod(shape)
        drawn = self._bits.random_raw(-(-size // _PER_DRAW)).view(np.uint16)[:size]
        return torch.from_numpy((drawn >= _dropped_below(p)).reshape(shape))


@dataclass(frozen=True)
class GeneratorStream:
    """Draws where the numbers are, and waits for nothing."""

    generator: torch.Generator
    device: str

    def kept(self, shape: Sequence[int], p: float) -> Tensor:
        """Return which numbers of a tensor of this shape are kept."""
        import torch

        drawn = torch.empty(tuple(shape), dtype=torch.bool, device=self.device)
        return drawn.bernoulli_(_share_kept(p), generator=self.generator)


def noise_by(stream: DropoutStream) -> Draw:
    """Return what draws for tensors: 0 where a number is dropped, else 1 over the share that is kept."""

    def draw(like: Tensor, p: float) -> Tensor:
        return noise_of(stream.kept(like.shape, p), p, like)

    return draw


def noise_of(kept: Tensor, p: float, like: Tensor) -> Tensor:
    """Return 0 where a number is not kept, else 1 over the share that is, in the dtype of `like`."""
    share = _share_kept(p)
    found = kept.to(dtype=like.dtype)
    return found.mul_(1 / share) if share else found


def _share_kept(p: float) -> float:
    return 1 - _dropped_below(p) / LEVELS


def _dropped_below(p: float) -> int:
    """Return how many of the levels are dropped.

    >>> _dropped_below(0.1), _dropped_below(0.5), _dropped_below(0.0)
    (6554, 32768, 0)
    """
    return round(p * LEVELS)


def dropout_by(draw: Draw) -> AbstractContextManager[object]:
    """Return the context in which dropout in training multiplies by `draw(input, p)`, in this thread."""
    from client.dropout_mode import DropoutBy

    return DropoutBy(draw)
