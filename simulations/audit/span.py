"""What an update of a linear layer tells of the layer's inputs: its rows lie in the space that the inputs span.

Petrov et al. 2024, "DAGER: Exact Gradient Inversion for Large Language Models", https://arxiv.org/abs/2405.15586,
section 4: of h = W x the gradient is the sum over positions of (dL/dh) x^T, so that a candidate x that was read is in
its row space, and one that was not is not, as long as fewer positions were read than the space has room for. With LoRA,
h = W x + s B A x, the gradient of A has at most `rank` directions, those of B^T (dL/dh) x^T; and that of B has A x in
the place of x.
"""

import numpy as np
from numpy.typing import NDArray

from common.metrics.types import Floats, Statistic


def span_of(rows: Floats, *, tolerance: float = 1e-5) -> Floats:
    """Return an orthonormal basis (q, width) of what the rows (n, width) span.

    Directions below `tolerance` times the largest are rounding. Of what spans nearly the whole space the half with the
    most energy is kept: everything lies in the whole.
    """
    _, sizes, directions = np.linalg.svd(np.asarray(rows, np.float64), full_matrices=False)
    kept = int((sizes > tolerance * max(sizes[0], 1e-300)).sum()) if len(sizes) else 0
    return np.asarray(directions[: min(kept, max(1, rows.shape[1] // 2))])


def recall(scores: Floats, true: NDArray[np.bool_]) -> Statistic:
    """Return the share of true candidates among as many best ones as there are true; a tie counts by its share.

    >>> found = recall(np.array([0.9, 0.8, 0.1, 0.0]), np.array([True, False, True, False]))
    >>> float(found(np.ones(4)))
    0.5
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    sign = true[order].astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        ordered = weights[..., order]
        hits, sizes = (np.add.reduceat(part, starts, axis=-1) for part in (ordered * sign, ordered))
        wanted = hits.sum(axis=-1, keepdims=True)
        taken = np.clip(wanted - (np.cumsum(sizes, axis=-1) - sizes), 0.0, sizes)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((hits * np.where(sizes > 0, taken / sizes, 0.0)).sum(axis=-1) / wanted[..., 0])

    return statistic


def beyond_chance(scores: Floats, true: NDArray[np.bool_]) -> Statistic:
    """Return (recall - chance) / (1 - chance), chance being the share of true candidates: 0 by chance, 1 for all."""
    found, sign = recall(scores, true), true.astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            chance = (weights * sign).sum(axis=-1) / weights.sum(axis=-1)
            return np.asarray((found(weights) - chance) / (1 - chance))

    return statistic
