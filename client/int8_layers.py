"""Layers that compute from weights in 8 bits, each in place of one of torch's; see `client.int8_weights`."""

from __future__ import annotations

from typing import Any  # what hangs on a layer is untyped

import torch
from torch import Tensor, nn
from torch.nn import functional

from client.int8_weights import dequantise


def _take_over(new: Any, old: nn.Module) -> None:
    """Move what hangs on `old`: children, and hooks on its output, as bottleneck adapters have them."""
    for name, child in old.named_children():
        new.add_module(name, child)
    for hook in old._forward_hooks.values():  # torch has no public name for them
        new.register_forward_hook(hook)


def _precision(x: Tensor) -> torch.dtype:
    """Return the precision that a product has: that of `x`, or of the autocast around it."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


class Int8Linear(nn.Module):
    """s q x + b, in the precision of x."""

    q: Tensor
    scale: Tensor

    def __init__(self, old: nn.Linear, q: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("q", q)
        self.register_buffer("scale", scale)
        self.bias = old.bias
        self.in_features, self.out_features = old.in_features, old.out_features
        _take_over(self, old)

    @property
    def weight(self) -> Tensor:
        """The weight that is meant, made anew: peft looks at its device and precision."""
        return dequantise(self.q, self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out)."""
        return functional.linear(x, dequantise(self.q, self.scale, _precision(x)), self.bias)


class Int8Embedding(nn.Module):
    """The rows of s q at the given positions, in float32."""

    q: Tensor
    scale: Tensor

    def __init__(self, old: nn.Embedding, q: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("q", q)
        self.register_buffer("scale", scale)
        self.num_embeddings, self.embedding_dim = old.num_embeddings, old.embedding_dim
        self.padding_idx = old.padding_idx
        _take_over(self, old)

    @property
    def weight(self) -> Tensor:
        """The table that is meant, made anew."""
        return dequantise(self.q, self.scale)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (..., width)."""
        return dequantise(self.q[ids], self.scale[ids])
