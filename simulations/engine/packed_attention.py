"""Attention within the rows of a packed batch: transformers' eager attention, for one client's rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any  # transformers' caches and modules

import numpy as np
import torch
from torch import Tensor

from simulations.engine.layout import CannotGroupError
from simulations.engine.taking import Places, take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulations.engine.layout import Block
    from simulations.engine.packing import Packing

ATTENTION = "fedpeft_packed"
_AT_WORK: ContextVar[Packing] = ContextVar("packing")
"""The packing of the model that computes in this thread: transformers' functions are found by name alone."""


def registered() -> None:
    """Have transformers know the attention by its name."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, attend)


@contextmanager
def attending(packing: Packing) -> Iterator[None]:
    """Have `attend` serve this packing in this thread."""
    token = _AT_WORK.set(packing)
    try:
        yield
    finally:
        _AT_WORK.reset(token)


class Prefix:
    """Stands for a cache that holds a method's virtual keys and values: blocks are told that nothing is cached."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def get_seq_length(self, *_: object) -> int:
        """Return how many virtual tokens there are."""
        return int(self._cache.get_seq_length())

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Return what is given."""
        return keys, values

    def of(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return virtual keys and values (rows, heads, virtual tokens, width) of one layer."""
        found = self._cache.layers[layer]
        return found.keys, found.values


@dataclass
class Rows:
    """The clients' rows in a packed batch, each client's padded to its own longest; made once for all layers.

    places: the way from packed tokens to those rows, of all clients one after the other, on the batch's device.
    """

    blocks: Sequence[Block]
    places: Places
    _added: dict[tuple[int, int, torch.dtype], Tensor] = field(default_factory=dict)

    @staticmethod
    def of(blocks: Sequence[Block], device: torch.device) -> Rows:
        """Say where rows are on a device."""
        there = np.concatenate([block.there().reshape(-1) for block in blocks])
        return Rows(blocks, Places.of(there).to(device))

    def by_client(self, packed: Tensor) -> list[Tensor]:
        """Return (rows, heads, positions, width) of each client from (1, heads, tokens, width)."""
        rows = take(packed[0].transpose(0, 1).reshape(packed.shape[2], -1), self.places)
        parts = torch.split(rows, [block.rows * block.positions for block in self.blocks])
        return [
            part.reshape(block.rows, block.positions, packed.shape[1], -1).transpose(1, 2)
            for part, block in zip(parts, self.blocks, strict=True)
        ]

    def masked(self, client: int, scores: Tensor) -> Tensor:
        """Keep a client's rows from looking at their padding; scores: (rows, heads, queries, virtual + keys)."""
        if self.blocks[client].places is None:
            return scores
        known = client, scores.shape[-1], scores.dtype
        if known not in self._added:
            self._added[known] = _added(self.blocks[client], scores)
        return scores + self._added[known]


def _added(block: Block, scores: Tensor) -> Tensor:
    """Return (rows, 1, 1, virtual + keys): 0, or for padding the least number that there is."""
    virtual = scores.shape[-1] - block.positions
    seen = np.pad(block.there(), ((0, 0), (virtual, 0)), constant_values=True)
    added = torch.zeros(seen.shape, dtype=scores.dtype)
    added.masked_fill_(torch.from_numpy(~seen), torch.finfo(scores.dtype).min)
    return added[:, None, None, :].to(scores.device, non_blocking=True)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 # transformers' signature; made for padded rows
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: object,
) -> tuple[Tensor, None]:
    """Return (1, tokens, heads, width) of queries, keys and values (1, heads, tokens, width)."""
    packing = _AT_WORK.get()
    if key.shape[1] != query.shape[1] or getattr(module, "is_causal", False):
        raise CannotGroupError("attention that looks back only, or shares keys between heads, is not packed")
    rows_of, heads = packing.rows, query.shape[1]
    assert rows_of is not None  # packed before
    prefix = None if packing.prefix is None else packing.prefix.of(module.layer_idx)
    own = [rows_of.by_client(each) for each in (query, key, value)]
    found, row = [], 0
    for client, (block, q, k, v) in enumerate(zip(rows_of.blocks, *own, strict=True)):
        rows, row = slice(row, row + block.rows), row + block.rows
        if prefix is not None:
            k, v = (torch.cat([p[rows].to(k.dtype), each], dim=2) for p, each in zip(prefix, (k, v), strict=True))
        scores = torch.matmul(q, k.transpose(2, 3)) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
        weights = torch.softmax(rows_of.masked(client, scores), dim=-1)
        if dropout:
            weights = packing.streams.dropped(client, weights, dropout)
        found.append(torch.matmul(weights, v).transpose(1, 2).reshape(block.rows * block.positions, -1))
    joined = take(torch.cat(found), rows_of.places.inverse())
    return joined.reshape(1, len(joined), heads, -1), None
