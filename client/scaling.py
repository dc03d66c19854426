"""Loss scaling of fp16: small gradients are lifted above what half precision can hold, and steps that overflow skipped.

Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, section 3.2. The scaler is torch's own; its scale starts
afresh in each round, so that the first steps of a round may be skipped until it fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from client.execution import Execution


class Scaler(Protocol):
    """What training asks of `torch.amp.GradScaler`."""

    def scale(self, outputs: Tensor) -> Tensor:
        """Return the loss, multiplied."""
        ...

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients, in place, and note whether any is not finite."""
        ...

    def step(self, optimizer: torch.optim.Optimizer) -> object:
        """Take the optimizer's step, unless a gradient is not finite."""
        ...

    def update(self) -> None:
        """Choose the next scale."""
        ...


def scaler_of(execution: Execution) -> Scaler | None:
    """Return the scaler for this precision and device; None where nothing needs scaling."""
    import torch

    if execution.precision != "fp16":
        return None
    return cast("Scaler", torch.amp.GradScaler(execution.device.partition(":")[0]))
