"""What leaves a model in half precision is computed with in float32 from there on; float64 stays what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def widened(tensor: Tensor) -> Tensor:
    """Return the tensor in float32 at least."""
    import torch

    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
