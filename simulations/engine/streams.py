"""Dropout of a grouped batch: each client's numbers are dropped as they would be if it were trained alone.

A client's stream is asked for the shapes that its rows alone would have, padded to its own longest row; what the
group's padding adds is kept, and what packing leaves out is left out. All is drawn where the batch is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client.dropout import DropoutStream, noise_by, noise_of

if TYPE_CHECKING:
    from torch import Tensor

    from simulations.engine.layout import Here, Layout


@dataclass
class GroupedStreams:
    """streams: one for each client, in their order; `here` says which batch is in the model."""

    streams: Sequence[DropoutStream]
    here: Here

    def noise(self, like: Tensor, p: float) -> Tensor:
        """Return what a tensor of all clients' rows is multiplied by."""
        if self.here.is_packed(like):
            return noise_of(self._packed(like.shape[-1], p)[None], p, like)
        return noise_of(self._padded(like, p), p, like)

    def dropped(self, client: int, values: Tensor, p: float) -> Tensor:
        """Return a tensor of one client's rows alone with some numbers dropped."""
        return values * noise_by(self.streams[client])(values, p)

    def _packed(self, width: int, p: float) -> Tensor:
        """Return (tokens, width)."""
        import torch

        kept = [
            stream.kept((block.rows * block.positions, width), p)
            for stream, block in zip(self.streams, self.here.blocks, strict=False)
        ]
        padded, tokens = torch.cat(kept), self.here.tokens
        return padded if tokens is None else padded.index_select(0, tokens)

    def _padded(self, like: Tensor, p: float) -> Tensor:
        import torch

        kept = torch.ones(like.shape, dtype=torch.bool, device=like.device)
        begin, layout = 0, self.here.layout
        for client, rows in enumerate(layout.rows):
            own = alone(tuple(like.shape), layout, client)
            where = (slice(begin, begin + rows), *(slice(size) for size in own[1:]))
            kept[where] = self.streams[client].kept(own, p)
            begin += rows
        return kept


def alone(shape: tuple[int, ...], layout: Layout, client: int) -> tuple[int, ...]:
    """Return the shape that a padded tensor of the batch would have with this client's rows alone.

    (rows, positions, width) loses positions on its second axis; (rows, heads, queries, keys) on its last two.
    """
    excess = layout.positions - layout.longest[client]
    axes = {3: (1,), 4: (2, 3)}.get(len(shape), ())
    return (
        layout.rows[client],
        *(size - excess if axis in axes else size for axis, size in enumerate(shape) if axis),
    )
