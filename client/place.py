"""The place of this process among those that train together, and the sum of what each of them found.

Data parallel as in Goyal et al. 2017, https://arxiv.org/abs/1706.02677: every process holds the whole model, takes some
parts of each step's rows, and after the sum over processes takes the same optimizer step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Place:
    """Number `rank` of `size` processes, which torch.distributed has brought together where they are several."""

    rank: int = 0
    size: int = 1

    def sum_over(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Make every parameter's gradient the sum of those of all processes, and return the sum of the losses.

        Shares of the step's rows are in gradients and losses already. All travel as one tensor.
        """
        if self.size == 1:
            return loss
        import torch
        from torch import distributed

        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), loss.reshape(1)])
        distributed.all_reduce(flat)
        start = 0
        for parameter in parameters:
            end = start + parameter.numel()
            parameter.grad = flat[start:end].view_as(parameter)
            start = end
        return flat[-1].clone()


ALONE = Place()
"""The one process of most sites."""
