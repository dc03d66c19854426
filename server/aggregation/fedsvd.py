"""FedSVD: FFA-LoRA, and after each round the same product is written anew with an orthonormal A.

Lee et al. 2025, "FedSVD: Adaptive Orthogonalization for Private Federated Learning with LoRA",
https://arxiv.org/abs/2505.12805. Sites train B (m, r) with A (r, n) frozen; then

    B' = sum_k p_k B_k,    U S V^T = B' A,    B <- U S (m, r),    A <- V^T (r, n),    A A^T = I.

B' A has rank r at most, so this is exact and leaves the function as it is. Where B' A has a lower rank (m < r, say) the
paper's V^T is short of rows: here they are completed within the row space of A, so that no direction that B could
train is lost. A layer with B = 0 is left alone, since its singular vectors would be arbitrary.

Up r m values per layer and site, down r (m + n). The server adds K r m numbers and does O((m + n) r^2) more. The SVD
comes after the sum, so noise and secure aggregation are as with FFA-LoRA, and rows of norm 1 keep gradients of B
bounded. One scale s holds at all sites, and cancels. Not for ranks that differ, server optimisers with moments (the
basis changes), nor where A or B is private.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from common.foreseen import first_plan
from common.lora_pairs import Matrix, Pair, as_matrices, pairs_of
from common.plans.fedsvd import build as declaration
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState, Array
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class FedSVD:
    """The mean of the second factors, then the SVD; with nothing to set and nothing to remember."""

    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"linear", "shape_keeping", "exact", "consensus", "additive"})
    up: ClassVar[str] = "r*m"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plan to train all but A."""
        return first_plan(declaration().foresee(round_number, site), shared)

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:  # noqa: ARG002 # linear
        """Return the weighted mean."""
        return weighted_mean(updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the mean update in float64 and write each product anew, rounded once."""
        wide = {name: array.astype(np.float64) for name, array in state.items() if name in mean.update}
        changed = moved({**state, **wide}, mean.update)
        trained = [pair for pair in pairs_of(state) if pair.b in mean.update]
        made = {name: array for pair in trained for name, array in _refactored_pair(changed, pair).items()}
        return {
            name: made.get(name, changed[name]).astype(array.dtype, copy=False) for name, array in state.items()
        }, memory


def _refactored_pair(state: AdapterState, pair: Pair) -> dict[str, Array]:
    a, b = as_matrices(state, pair)
    if not b.any():
        return {}
    b, a = refactored(b, a)
    return {pair.a: a.reshape(state[pair.a].shape), pair.b: b.reshape(state[pair.b].shape)}


def refactored(b: Matrix, a: Matrix) -> tuple[Matrix, Matrix]:
    """Return U S (m, r) and V^T (r, n) of b @ a, V^T with min(r, n) orthonormal rows, which span those of a.

    >>> b, a = refactored(np.array([[3.0], [4.0]]), np.array([[0.0, 2.0]]))
    >>> np.abs(b).round(9).tolist(), np.abs(a).tolist()
    ([[6.0], [8.0]], [[0.0, 1.0]])
    """
    q_b, r_b = np.linalg.qr(b)
    q_a, r_a = np.linalg.qr(a.T)
    u, values, vt = np.linalg.svd(r_b @ r_a.T, full_matrices=True)  # the core is r x r at most
    left, right = q_b @ (u[:, : len(values)] * values), vt @ q_a.T
    rank = a.shape[0]
    return np.pad(left, ((0, 0), (0, rank - left.shape[1]))), np.pad(right, ((0, rank - right.shape[0]), (0, 0)))


build = FedSVD
