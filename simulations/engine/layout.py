"""Whose rows are where in a grouped batch: rows of several clients, one client after the other.

Inside a model a batch is met in three forms: padded (rows, positions, ...), pooled (rows, ...), and packed
(1, tokens, ...), in which no position is padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class CannotGroupError(UserError):
    """What a study does cannot be done for several clients at once; they are trained one after the other."""


@dataclass(frozen=True)
class Layout:
    """lengths: of each client's rows, positions that are no padding; images and the like have one for each row."""

    lengths: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each client."""
        return tuple(len(lengths) for lengths in self.lengths)

    @property
    def longest(self) -> tuple[int, ...]:
        """Positions of each client's longest row."""
        return tuple(max(lengths) for lengths in self.lengths)

    @property
    def positions(self) -> int:
        """Positions of the longest row of all."""
        return max(self.longest)


@dataclass(frozen=True)
class Block:
    """One client's rows in a packed batch, as they would be padded alone.

    tokens: how many are no padding. places: (tokens,) where they are among rows times positions; None: everywhere.
    """

    rows: int
    positions: int
    tokens: int
    places: NDArray[np.int64] | None

    def there(self) -> NDArray[np.bool_]:
        """Return (rows, positions): which are no padding."""
        found = np.full(self.rows * self.positions, fill_value=self.places is None)
        if self.places is not None:
            found[self.places] = True
        return found.reshape(self.rows, self.positions)


def block_of(lengths: Sequence[int], virtual: int) -> Block:
    """Return the block of rows of these lengths, each with `virtual` positions more in front."""
    sizes = np.asarray(lengths, dtype=np.int64) + virtual
    longest = int(sizes.max())
    if int(sizes.min()) == longest:
        return Block(len(sizes), longest, len(sizes) * longest, None)
    there = np.arange(longest) < sizes[:, None]
    return Block(len(sizes), longest, int(sizes.sum()), np.flatnonzero(there))


@dataclass
class Here:
    """The batch that is in the model right now; blocks: of each client, while it is packed.

    tokens: (tokens,) then, on the batch's device: where each is among the rows of all blocks, one after the other; None
    where no row of theirs is padded.
    """

    layout: Layout
    blocks: Sequence[Block] = ()
    tokens: Tensor | None = None

    def sizes(self, tensor: Tensor) -> tuple[int, ...]:
        """Return how much of the leading axis is each client's, once (1, tokens, ...) is seen as (tokens, ...)."""
        if self.is_packed(tensor):
            return tuple(block.tokens for block in self.blocks)
        if tensor.dim() and len(tensor) == sum(self.layout.rows):
            return self.layout.rows
        raise CannotGroupError(f"a tensor of shape {tuple(tensor.shape)} has not the rows of the batch")

    def is_packed(self, tensor: Tensor) -> bool:
        """Whether this is a packed batch."""
        tokens = sum(block.tokens for block in self.blocks)
        return bool(self.blocks) and tensor.dim() > 1 and len(tensor) == 1 and tensor.shape[1] == tokens

    def split(self, tensor: Tensor) -> Sequence[Tensor]:
        """Return each client's part, with all axes: (its rows, ...) or (1, its tokens, ...)."""
        import torch

        return torch.split(tensor, list(self.sizes(tensor)), dim=int(self.is_packed(tensor)))

    def join(self, parts: Sequence[Tensor], like: Tensor) -> Tensor:
        """Undo `split`."""
        import torch

        return torch.cat(list(parts), dim=int(self.is_packed(like)))
