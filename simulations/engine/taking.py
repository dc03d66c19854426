"""Rows of a matrix moved between a form with padding and one without; gradients move back, and padding has none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any  # torch's context of a function

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Places:
    """index: (rows after,) which row before each is. back: (rows before,) which row after each has become.

    Padding has the number of the row that follows or precedes it. empty_before, empty_after: which rows are padding in
    the form before and in that after.
    """

    index: Tensor
    back: Tensor
    empty_before: Tensor
    empty_after: Tensor

    @staticmethod
    def of(there: NDArray[np.bool_]) -> Places:
        """Return the way from rows without padding to those with it; there: (rows with padding,) which are none."""
        packed_at = np.cumsum(there) - 1
        found = [np.maximum(packed_at, 0), np.flatnonzero(there), np.zeros(0, dtype=np.int64), np.flatnonzero(~there)]
        return Places(*(torch.from_numpy(each) for each in found))

    def inverse(self) -> Places:
        """Return the way back."""
        return Places(self.back, self.index, self.empty_after, self.empty_before)

    def to(self, device: torch.device) -> Places:
        """Return the same on a device, without waiting for it."""
        if device.type == "cpu":
            return self
        own = ("index", "back", "empty_before", "empty_after")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in own})

    @property
    def changes_nothing(self) -> bool:
        """Whether there is no padding in either form."""
        return not len(self.empty_before) and not len(self.empty_after)


def take(rows: Tensor, places: Places) -> Tensor:
    """Return (rows after, width) of (rows before, width); padding repeats a neighbour, and gives it no gradient."""
    if places.changes_nothing:
        return rows
    taken: Tensor = _Take.apply(rows, places)  # type: ignore[no-untyped-call] # torch's own
    return taken


class _Take(torch.autograd.Function):
    """`index_select` both ways: torch adds up the gradients of rows one by one, since it cannot know that none meet."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Places) -> Tensor:
        ctx.places = places
        return rows.index_select(0, places.index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        places: Places = ctx.places
        found = gradients[0].index_select(0, places.back)
        return (found.index_fill_(0, places.empty_before, 0) if len(places.empty_before) else found), None
