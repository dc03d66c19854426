"""A running sum of products B A, held as factors or as the product, whichever is smaller, and its singular values.

With B (m, R) and A (R, n), QR gives B = Q_b R_b and A^T = Q_a R_a; the core R_b R_a^T has the singular values of B A
and its Frobenius norm, and no Q is ever formed. O((m + n) R^2 + R^3) where the dense way costs O(m n min(m, n)).
"""

from dataclasses import dataclass

import numpy as np

from common.lora_pairs import Matrix
from server.low_rank import stacked


@dataclass(frozen=True)
class ProductSum:
    """sum_k B_k A_k of shape (m, n), exact up to rounding, in at most 2 m n numbers however many terms there are.

    terms: those not yet in `product`. They are multiplied out as soon as they have as many numbers as their product:
    never at LoRA's ranks and few sites, since 10 sites of rank 16 have 160 of the 2048 ranks that 4096 x 4096 needs.
    """

    shape: tuple[int, int]
    terms: tuple[tuple[Matrix, Matrix], ...] = ()
    product: Matrix | None = None

    def plus(self, b: Matrix, a: Matrix) -> "ProductSum":
        """Return the sum with b @ a added; a product with a factor that is all zeros costs nothing."""
        if not (b.any() and a.any()):
            return self
        terms = (*self.terms, (b, a))
        if sum(b.size + a.size for b, a in terms) < self.shape[0] * self.shape[1]:
            return ProductSum(self.shape, terms, self.product)
        whole = _multiplied(terms)
        return ProductSum(self.shape, (), whole if self.product is None else self.product + whole)

    def singular_values(self) -> Matrix:
        """Return the singular values of the sum, in no more than min(m, n) numbers; none where nothing was added.

        >>> ProductSum((2, 3)).plus(np.array([[3.0], [4.0]]), np.array([[0.0, 0.0, 2.0]])).singular_values().tolist()
        [10.0]
        """
        core = self._core()
        return np.asarray(np.linalg.svd(core, compute_uv=False), np.float64) if core.size else np.zeros(0)

    def norm(self) -> float:
        """Return the Frobenius norm of the sum.

        >>> ProductSum((2, 2)).plus(np.array([[3.0], [4.0]]), np.array([[0.0, 2.0]])).norm()
        10.0
        """
        return float(np.linalg.norm(self._core()))

    def _core(self) -> Matrix:
        """Return a matrix with the singular values of the sum, the sum itself where that is no larger."""
        if self.product is not None:
            return self.product + _multiplied(self.terms) if self.terms else self.product
        if not self.terms:
            return np.zeros((0, 0))
        b, a = stacked(self.terms, [1.0] * len(self.terms))
        if b.shape[1] >= min(self.shape):
            return b @ a
        return _triangle(b) @ _triangle(a.T).T


def _triangle(matrix: Matrix) -> Matrix:
    """Return R of the QR decomposition, without forming Q."""
    return np.asarray(np.linalg.qr(matrix, mode="r"))


def _multiplied(terms: tuple[tuple[Matrix, Matrix], ...]) -> Matrix:
    b, a = stacked(terms, [1.0] * len(terms))
    product: Matrix = b @ a
    return product


def effective_rank(values: Matrix) -> float:
    """Return exp(-sum_i q_i log q_i) of singular values, with q_i = values_i^2 / sum_j values_j^2; they are not all 0.

    Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality", EUSIPCO, definition 1,
    https://ieeexplore.ieee.org/document/7098875. There q_i is values_i / sum_j values_j; with squares it is the share
    of the energy, so that many small values weigh less.

    >>> round(effective_rank(np.array([2.0, 2.0, 0.0])), 12), effective_rank(np.array([5.0]))
    (2.0, 1.0)
    """
    shares = np.square(values / values.max())
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))
