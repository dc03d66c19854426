"""Gradients of rows to one gradient for each patient, and these to a sum that no patient moves by more than a bound.

Abadi et al. 2016, https://arxiv.org/abs/1607.00133, algorithm 1, with the patient for the example: all rows of a
patient are averaged and clipped together, over all tensors at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def patient_means(gradients: Mapping[str, Tensor], owners: Tensor, *, patients: int) -> dict[str, Tensor]:
    """Return (patients, *shape): the mean over each patient's rows.

    gradients: (rows, *shape) by name. owners: (rows,) int64, whose row it is, each of the patients at least once.
    """
    counts = owners.bincount(minlength=patients)
    return {
        name: each.new_zeros((patients, *each.shape[1:])).index_add_(0, owners, each) / _across(counts, each)
        for name, each in gradients.items()
    }


def clipped_sum(gradients: Mapping[str, Tensor], clip_norm: float) -> dict[str, Tensor]:
    """Return the sum over patients of g min(1, C / ||g||), ||g|| Euclidean over all tensors together.

    gradients: (patients, *shape) by name. Put in or take out one patient, and the sum moves by at most C. A patient
    whose gradient is not finite adds nothing, so that one row can neither end a round nor be seen by its end.
    """
    import torch

    squares = [torch.linalg.vector_norm(_flat(g), dim=1, dtype=torch.float64).square() for g in gradients.values()]
    norms = torch.stack(squares).sum(dim=0).sqrt()
    factors = (clip_norm / norms.clamp(min=clip_norm)).where(norms.isfinite(), 0.0)
    return {name: _weighted(each, factors) for name, each in gradients.items()}


def _weighted(gradients: Tensor, factors: Tensor) -> Tensor:
    """Return sum_p f_p g_p, of float32 at least; what is not finite has the factor 0, and counts as 0.

    Factors and a sum of 8 bits would be rounded by up to 1 / 256 of all patients' sum: one would move it beyond C.
    """
    import torch

    kept = gradients.to(torch.promote_types(gradients.dtype, torch.float32)).nan_to_num(0.0, 0.0, 0.0)
    return (_flat(kept).T @ factors.to(kept.dtype)).reshape(gradients.shape[1:])


def noised_mean(total: Tensor, noise: NDArray[np.float64], *, patients: float) -> Tensor:
    """Return (total + noise) / patients, rounded once: at the end, to what `total` is.

    noise: (numbers of total,). patients: how many are expected. Rounded before it is added, noise would be on a grid,
    and where it cancels the sum its last bits would be the sum's.
    """
    import torch

    drawn = torch.from_numpy(noise).reshape(total.shape)
    return ((total.cpu().to(torch.float64) + drawn) / patients).to(total)


def _flat(gradients: Tensor) -> Tensor:
    """Return (patients, numbers); numbers on their own are vectors of one."""
    return gradients.reshape(len(gradients), prod(gradients.shape[1:]))


def _across(counts: Tensor, like: Tensor) -> Tensor:
    """Return counts (patients,) in a shape that divides (patients, *shape)."""
    return counts.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1))
