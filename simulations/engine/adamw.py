"""AdamW for many clients at once: every tensor is (clients, numbers), each client's row moves as it would alone.

Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101, algorithm 2, as torch.optim.AdamW computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8
CLIP_EPSILON = 1e-6
"""What torch adds to a norm that it divides by."""


@dataclass
class GroupedAdamW:
    """mean, square: (clients, numbers), the running means of gradients and of their squares.

    rate_factor: (numbers,) of the learning rate. weight_decay: (numbers,).
    """

    mean: Tensor
    square: Tensor
    rate_factor: Tensor
    weight_decay: Tensor

    def step(self, values: Tensor, gradients: Tensor, *, rates: Tensor, number: int) -> None:
        """Move `values` (clients, numbers), the first clients' rows, in place; others are frozen, state and all.

        gradients: of as many clients. rates: (clients,) learning rates. number: of the step, from 1: all clients that
        still move have taken the same number of steps.
        """
        clients = len(values)
        mean, square = self.mean[:clients], self.square[:clients]
        rate = rates[:, None] * self.rate_factor
        values.mul_(1 - rate * self.weight_decay)
        mean.lerp_(gradients, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradients, gradients, value=1 - BETAS[1])
        scale = (square.sqrt() / (1 - BETAS[1] ** number) ** 0.5).add_(EPSILON)
        values.addcdiv_(mean * (rate / (1 - BETAS[0] ** number)), scale, value=-1)


def clip(gradients: Tensor, norms: Tensor, clip_norm: float) -> None:
    """Shorten in place the rows of (clients, numbers) whose norm (clients,) is above the bound."""
    gradients.mul_((clip_norm / (norms + CLIP_EPSILON)).clamp(max=1.0)[:, None])
