"""Products of tall and wide factors, B A with B (m, R) and A (R, n), never made dense: QR, then an SVD of the core.

B = Q_b R_b and A^T = Q_a R_a give B A = Q_b (R_b R_a^T) Q_a^T, and the SVD of the core is that of the product
(FLoRIST, https://arxiv.org/abs/2506.09199, uses the same). O((m + n) R^2) where the dense way costs O(m n min(m, n)).
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from common.lora_pairs import Matrix

Split = Literal["balanced", "left"]


def factored_svd(b: Matrix, a: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Return U (m, q), singular values (q,) in falling order and V^T (q, n) of b @ a, with q = min(m, n, R).

    >>> b, a = np.array([[3.0], [4.0]]), np.array([[0.0, 2.0]])
    >>> [part.shape for part in factored_svd(b, a)], factored_svd(b, a)[1].tolist()
    ([(2, 1), (1,), (1, 2)], [10.0])
    """
    return _svd(b, a, lambda values: len(values))


def _svd(b: Matrix, a: Matrix, kept: Callable[[Matrix], int]) -> tuple[Matrix, Matrix, Matrix]:
    """Return the first `kept` singular triples; the large multiplications are of these only."""
    q_b, r_b = np.linalg.qr(b)
    q_a, r_a = np.linalg.qr(a.T)
    left, values, right = np.linalg.svd(r_b @ r_a.T, full_matrices=False)
    count = kept(values)
    return q_b @ left[:, :count], values[:count], right[:count] @ q_a.T


def truncated(b: Matrix, a: Matrix, rank: int, *, split: Split = "balanced") -> tuple[Matrix, Matrix]:
    """Return the factors (m, rank) and (rank, n) of the best approximation of b @ a, by falling singular value.

    It is exact where `rank` is at least the product's (Eckart and Young 1936); missing ranks are zeros. So the first k
    columns and rows are the best approximation of rank k. split: `balanced` gives either factor the roots of the
    singular values, `left` has them all in the first and makes the rows of the second orthonormal.
    """
    left, right = _split(_svd(b, a, lambda values: min(rank, len(values))), split)
    missing = rank - left.shape[1]
    return np.pad(left, ((0, 0), (0, missing))), np.pad(right, ((0, missing), (0, 0)))


def compressed(
    b: Matrix, a: Matrix, rank: int | None = None, *, energy: float = 1.0, split: Split = "balanced"
) -> tuple[Matrix, Matrix]:
    """Return the same as `truncated`, in no more ranks than the product has: (m, q) and (q, n) with q <= rank.

    energy: in (0, 1], the least share of the sum of the squared singular values that is kept, by the fewest of them.
    """

    rounding = _rounding(b, a)

    def kept(values: Matrix) -> int:
        most = len(values) if rank is None else min(rank, len(values))
        return min(most, int(np.count_nonzero(values > rounding)), _enough(values, energy))

    return _split(_svd(b, a, kept), split)


def _rounding(b: Matrix, a: Matrix) -> float:
    """Return what a singular value of b @ a may be by rounding alone.

    A sum of R outer products is off by at most R eps times the sum of their norms, which is large beside the sum where
    they cancel; a QR of long columns by about the square root of their length.
    """
    terms = float(np.linalg.norm(b, axis=0) @ np.linalg.norm(a, axis=1))
    steps = max(b.shape[1], max(b.shape[0], a.shape[1]) ** 0.5)
    return float(steps * np.finfo(np.float64).eps * terms)


def _enough(values: Matrix, energy: float) -> int:
    if energy >= 1:
        return len(values)
    sums = np.cumsum(np.square(values))
    return int(np.searchsorted(sums, energy * sums[-1])) + 1 if len(sums) else 0


def _split(triples: tuple[Matrix, Matrix, Matrix], split: Split) -> tuple[Matrix, Matrix]:
    u, values, vt = triples
    if split == "left":
        return u * values, vt
    roots = np.sqrt(values)
    return u * roots, roots[:, None] * vt


def stacked(pairs: Sequence[tuple[Matrix, Matrix]], weights: Sequence[float]) -> tuple[Matrix, Matrix]:
    """Return one pair whose product is sum_k w_k B_k A_k, of ranks that may differ: [w_k B_k], [A_k].

    pairs: (B_k, A_k) of each client.

    >>> b, a = stacked([(np.ones((2, 1)), np.ones((1, 3))), (np.ones((2, 2)), np.ones((2, 3)))], [1.0, 0.5])
    >>> b.shape, a.shape, (b @ a)[0, 0].item()
    ((2, 3), (3, 3), 2.0)
    """
    left = np.concatenate([weight * b for (b, _), weight in zip(pairs, weights, strict=True)], axis=1)
    return left, np.concatenate([a for _, a in pairs], axis=0)
