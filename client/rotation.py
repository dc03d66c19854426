"""FedRot-LoRA's rotation: each pair is turned, its product unchanged, so that its factors lie near those received.

Zhang et al. 2026, https://arxiv.org/abs/2602.23638: sites whose B_k A_k agree may have factors that differ by a turn,
since B A = (B R)(R^T A) for any orthogonal R (r x r), and the mean of such factors is of no use. A site's own R* is
    argmin_R ||R^T A_k - A||_F = polar(A_k A^T),  or on the other factor  argmin_R ||B_k R - B||_F = polar(B_k^T B),
orthogonal Procrustes (Schonemann 1966, https://doi.org/10.1007/BF02289451), with A, B as received and polar(U S V^T) =
U V^T. It is softened: R = polar((1 - l) I + l R*), the orthogonal matrix nearest to the blend; l = 0 changes nothing.
Then A <- R^T A, B <- B R. Exact in B A, to the rounding of float32. Bytes are as without it; O(r^2 (m + n) + r^3) flops
per layer of m x n. It is of pairs of which both factors leave: with one of them frozen or private there is no freedom.

Where a matrix has no full rank, polar is not unique; here it is the one that turns least.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from client.plan_extras import ROTATE_B, ROTATION
from common.lora_pairs import Matrix, Pair, as_matrices, pairs_of
from common.state import AdapterState, Array

_NONE: Final = 1e-10
"""Singular values below this share of the largest are none: rounding, and no direction."""


def rotated(state: AdapterState, received: AdapterState, extra: Mapping[str, float]) -> dict[str, Array]:
    """Return the state with every pair turned as the plan's extra figures say; without them it is as it was."""
    found = dict(state)
    strength = extra.get(ROTATION, 0.0)
    for pair in pairs_of(state) if strength else ():
        turn = rotation(state, received, pair, strength=strength, on_b=bool(extra[ROTATE_B]))
        a, b = as_matrices(state, pair)
        found[pair.a] = (turn.T @ a).reshape(state[pair.a].shape).astype(state[pair.a].dtype)
        found[pair.b] = (b @ turn).reshape(state[pair.b].shape).astype(state[pair.b].dtype)
    return found


def rotation(state: AdapterState, received: AdapterState, pair: Pair, *, strength: float, on_b: bool) -> Matrix:
    """Return R (rank, rank) of one pair; strength is l in [0, 1], `on_b` whether it is B that is brought near."""
    (a, b), (a_then, b_then) = as_matrices(state, pair), as_matrices(received, pair)
    best = nearest_orthogonal(b.T @ b_then if on_b else a @ a_then.T)
    return nearest_orthogonal((1 - strength) * np.eye(len(best)) + strength * best)


def nearest_orthogonal(matrix: Matrix) -> Matrix:
    """Return the orthogonal matrix nearest to `matrix` (r, r) in Frobenius norm; of several the nearest to I.

    >>> nearest_orthogonal(np.zeros((2, 2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    left, values, right = np.linalg.svd(matrix)
    rank = int(np.sum(values > _NONE * values[0]))
    sure = left[:, :rank] @ right[:rank]
    if rank == len(matrix):
        return np.asarray(sure)
    free, then = left[:, rank:], right[rank:]  # any orthogonal Q between them does: the one of the largest trace
    first, _, second = np.linalg.svd(free.T @ then.T)
    return np.asarray(sure + free @ first @ second @ then)
