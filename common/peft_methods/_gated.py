"""Parts of AdaLoRA's layers: e times a gate that is 1 for a kept rank and 0 for a pruned one, and what measures them.

A pruned rank has no effect and gets no gradient: every derivative by P, e or Q of it has the gate as a factor. The
derivative by the gate itself is e dL/de, which is what a rank's importance needs of e, also while e is not trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # peft's layers are untyped

import torch
from torch import Tensor, nn

from common.peft_methods._rank_allocation import Smoothed, is_kept, on_scale


class GatedValues(nn.ParameterDict):
    """peft's `lora_E` with `importance` (rank, 1) beside the values, which come out multiplied by the gate."""

    def __init__(self, values: Mapping[str, nn.Parameter]) -> None:
        super().__init__(values)
        value = next(iter(values.values()))
        self.importance = nn.Parameter(torch.zeros_like(value))

    def __getitem__(self, key: str) -> Any:
        """Return the values of one adapter, those of pruned ranks zero."""
        return super().__getitem__(key) * self.gate()

    def gate(self) -> Tensor:
        """Return 0 or 1 for each rank; the importance gets the gate's derivative, since the two differ by constants."""
        gate: Tensor = is_kept(self.importance.detach()).to(self.importance.dtype)
        return gate + (self.importance - self.importance.detach()) if self.importance.requires_grad else gate


@dataclass(frozen=True)
class Layer:
    """The tensors of one layer: P (out, rank), Q (rank, in) and the importance (rank, 1), with what is measured."""

    p: nn.Parameter
    q: nn.Parameter
    importance: nn.Parameter
    smoothed: Sequence[Smoothed]

    @classmethod
    def of(cls, p: nn.Parameter, q: nn.Parameter, importance: nn.Parameter) -> Layer:
        """Return the layer with nothing measured."""
        return cls(p, q, importance, [Smoothed.zeros(tensor.detach()) for tensor in (importance, p, q)])

    def add(self) -> None:
        """Count one step's gradients; the importance's is taken away, since no optimizer is to step along it."""
        if self.importance.grad is not None:
            self.smoothed[0].add(self.importance.grad.abs())
            self.importance.grad = None
        for tensor, smoothed in zip((self.p, self.q), self.smoothed[1:], strict=True):
            if tensor.grad is not None:
                smoothed.add((tensor.detach() * tensor.grad).abs())

    def score(self) -> Tensor:
        """Return the importance (rank, 1) of the triplets: e's, and the means over P's and Q's numbers."""
        e, p, q = (smoothed.score for smoothed in self.smoothed)
        return e + p.mean(dim=0).unsqueeze(1) + q.mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class Measuring:
    """Measures the importances of one round's training, and writes them where they are exchanged."""

    layers: Mapping[str, Layer]

    def measure(self) -> None:
        """Count the gradients that a step left."""
        for layer in self.layers.values():
            layer.add()

    def finish(self) -> None:
        """Write the importances of the kept ranks; pruned ones stay marked."""
        found = on_scale({name: layer.score().cpu().float().numpy() for name, layer in self.layers.items()})
        with torch.no_grad():
            for name, layer in self.layers.items():
                kept = is_kept(layer.importance)
                score = torch.from_numpy(found[name]).to(layer.importance)
                layer.importance.copy_(torch.where(kept, score, layer.importance))
