"""Which ranks of AdaLoRA's layers are kept: the budget of a round, the importance of a rank, and the mask.

Zhang et al. 2023, https://arxiv.org/abs/2303.10512: the cubic budget of section 3.3, and the importances of section
3.2 with both betas 0.85, as peft's `RankAllocator` has them. What differs: the budget falls by rounds and not by
steps, so that all sites prune the same ranks of the same mean of importances; and importance is on a scale of its own
(`on_scale`), on which a number says of a pruned rank that it is one, so that a state of the adapter holds its mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # arrays of numpy and torch alike

import numpy as np

from common.state import Array

if TYPE_CHECKING:
    from torch import Tensor

BETA = 0.85
LARGEST = 1 / 16
"""The importance of the most important rank. It is small so that importances add little to an update's norm."""
PRUNED = -LARGEST
"""What stands for the importance of a pruned rank; halfway to zero is the border, far from what rounding can cross."""


def budget(*, round_number: int, rounds: int, first: int, last: int, warmup: float, final: float) -> int:
    """Return how many ranks round 1 to `rounds` keeps: all `first` in the warm-up, `last` in the final phase.

    Between them it falls by the third power. warmup, final: fractions of the rounds. Round 1 keeps all, since nobody
    has measured yet; from 2 rounds on the last one has the budget `last`.

    >>> [budget(round_number=t, rounds=6, first=48, last=32, warmup=0, final=0.2) for t in range(1, 7)]
    [48, 38, 34, 32, 32, 32]
    """
    start = min(1 + int(warmup * rounds), max(rounds - 1, 1))
    end = max(rounds - int(final * rounds), start)
    if round_number <= start:
        return first
    if round_number >= end:
        return last
    return int((first - last) * (1 - (round_number - start) / (end - start)) ** 3 + last)


def is_kept(importance: Any) -> Any:
    """Return which ranks the importances, of numpy or torch, say are not pruned."""
    return importance > PRUNED / 2


def prune(importances: Mapping[str, Array], kept: int) -> dict[str, Array]:
    """Return copies in which all but the `kept` largest of all layers say `PRUNED`; what was pruned before stays so.

    Of equal ones the first, in the order of names, is kept.
    """
    names = sorted(importances)
    values = np.concatenate([np.asarray(importances[name], np.float32).ravel() for name in names])
    values[~is_kept(values)] = PRUNED
    values[np.argsort(-values, kind="stable")[kept:]] = PRUNED
    parts = np.split(values, np.cumsum([importances[name].size for name in names])[:-1])
    return {name: part.reshape(importances[name].shape) for name, part in zip(names, parts, strict=True)}


def on_scale(importances: Mapping[str, Array]) -> dict[str, Array]:
    """Return the importances times one number, so that the largest of all is `LARGEST`; all zero stays zero."""
    largest = max((float(array.max(initial=0)) for array in importances.values()), default=0.0)
    factor = LARGEST / largest if largest > 0 else 0.0
    return {name: (array.astype(np.float64) * factor).astype(np.float32) for name, array in importances.items()}


@dataclass
class Smoothed:
    """Of section 3.2: a running mean of the sensitivity |w dL/dw| of each number, and of how much it varies."""

    mean: Tensor
    uncertainty: Tensor

    @classmethod
    def zeros(cls, like: Tensor) -> Smoothed:
        """Return the start: nothing measured."""
        import torch

        return cls(torch.zeros_like(like), torch.zeros_like(like))

    def add(self, sensitivity: Tensor) -> None:
        """Count one step. What is not finite, of a step that fp16 leaves out, counts as nothing."""
        import torch

        sensitivity = torch.nan_to_num(sensitivity, nan=0.0, posinf=0.0, neginf=0.0)
        self.mean.mul_(BETA).add_(sensitivity, alpha=1 - BETA)
        self.uncertainty.mul_(BETA).add_((sensitivity - self.mean).abs(), alpha=1 - BETA)

    @property
    def score(self) -> Tensor:
        """The product of both."""
        return self.mean * self.uncertainty
