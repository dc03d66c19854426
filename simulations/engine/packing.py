"""Rows without padding: between a base model's blocks they lie one after the other; only attention keeps them apart.

Embeddings, and what follows the last block, see padded rows as ever. Packed rows are (1, tokens, width), which layers,
norms and activations take as they are; attention (`packed_attention`) pads each client's rows to that client's longest.
Krell et al. 2021, https://arxiv.org/abs/2107.02027, pack for the same reason. Only encoders are packed whose blocks are
told no positions: what rotates queries and keys is made for padded rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # blocks and caches are the base model's own

import numpy as np
from torch import Tensor

from simulations.engine.layout import Here, block_of
from simulations.engine.packed_attention import ATTENTION, Prefix, Rows, attending, registered
from simulations.engine.taking import Places, take

if TYPE_CHECKING:
    from torch import nn

    from simulations.engine.layout import Block
    from simulations.engine.streams import GroupedStreams


@dataclass
class Packing:
    """Packs what enters the first of `blocks`, and unpacks what leaves the last; `here` is told how.

    base: the transformers model that they are of. prefix: what a method put in front of keys and values. rows: the
    clients' own in the batch that is packed.
    """

    here: Here
    streams: GroupedStreams
    base: nn.Module
    blocks: Sequence[nn.Module]
    prefix: Prefix | None = None
    rows: Rows | None = None
    _places: Places | None = None
    _shape: tuple[int, ...] = ()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Pack what the model computes in the block, in this thread."""
        config: Any = self.base.config
        before = config._attn_implementation
        hooks = [
            self.base.register_forward_pre_hook(self._enter, with_kwargs=True),
            self.blocks[0].register_forward_pre_hook(self._pack, with_kwargs=True),
            self.blocks[-1].register_forward_hook(self._unpack),
        ]
        registered()
        config._attn_implementation = ATTENTION
        try:
            with attending(self):
                yield
        finally:
            config._attn_implementation = before
            for hook in hooks:
                hook.remove()

    def _enter(self, _: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Keep keys and values of virtual tokens aside: blocks would put them in front of packed rows."""
        cache = kwargs.get("past_key_values")
        self.prefix = None if cache is None else Prefix(cache)
        return args, kwargs if cache is None else {**kwargs, "past_key_values": self.prefix}

    def _pack(self, _: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        padded: Tensor = args[0] if args else kwargs["hidden_states"]
        self._shape, layout = tuple(padded.shape), self.here.layout
        virtual = padded.shape[1] - layout.positions
        self.here.blocks = [block_of(lengths, virtual) for lengths in layout.lengths]
        self._places = _padded_places(self.here.blocks, padded.shape[1]).to(padded.device)
        self.rows = Rows.of(self.here.blocks, padded.device)
        self.here.tokens = None if self.rows.places.changes_nothing else self.rows.places.back
        packed = take(padded.reshape(-1, padded.shape[-1]), self._places.inverse())[None]
        return ((packed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": packed})

    def _unpack(self, _: nn.Module, __: object, output: Any) -> Any:
        packed: Tensor = output[0] if isinstance(output, tuple) else output
        assert self._places is not None  # packed before
        padded = take(packed[0], self._places).reshape(self._shape)
        self.rows, self.here.blocks, self.here.tokens = None, (), None
        return (padded, *output[1:]) if isinstance(output, tuple) else padded


def _padded_places(blocks: Sequence[Block], positions: int) -> Places:
    """Return where packed tokens are among the batch's rows, padded to the longest of all."""
    there = [np.pad(block.there(), ((0, 0), (0, positions - block.positions))) for block in blocks]
    return Places.of(np.concatenate(there).reshape(-1))
