"""Geometric median (RFA): the point whose distances to all updates have the least sum.

Pillutla, Kakade, Harchaoui 2022, "Robust Aggregation for Federated Learning", https://arxiv.org/abs/1912.13445: the z
that minimises sum_k p_k |z - u_k|, by the smoothed Weiszfeld algorithm from the weighted mean,

    w_k = p_k / max(nu, |z - u_k|),    z = sum_k w_k u_k / sum_k w_k

Sites that together have less than half of the weight cannot move z arbitrarily far. The weights p_k are what sites say
of their examples: `aggregation.weighting = "uniform"` where they may lie. The paper makes 3 to 4 steps, since each is a
secure sum there; here z is a mean of updates, its distances follow from their Gram matrix alone, and steps cost
nothing: they go on until the weights stand still, which an update from very far away needs.

Distances and the mean are those of LoRA's products (`server.product_space`): a change of gauge changes nothing. The
next pair is the best approximation of rank r; not exact. Bytes as FedAvg; the server holds all K updates and does
O(K^2 r^2 (m + n)) flops per layer. This form does not go with secure aggregation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import numpy as np
from pydantic import Field

from common.lora_pairs import Matrix
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.enough import all_of
from server.mean import moved
from server.product_space import Coefficients, combined, gram

_STILL: Final = 1e-9
"""Relative change of every coefficient: that of an update at distance 1e30 is of the size 1e-30 and must be right."""


def distances(products: Matrix, coefficients: Coefficients) -> Coefficients:
    """Return |u_k - sum_j q_j u_j|, (K,), from the Gram matrix (K, K); the q sum to 1."""
    inner = products @ coefficients
    squares = np.diagonal(products) - 2 * inner + coefficients @ inner
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def weiszfeld(products: Matrix, weights: Coefficients, *, smoothing: float, steps: int) -> Coefficients:
    """Return the coefficients of the geometric median, (K,), which sum to 1.

    >>> points = np.array([[0.0], [1.0], [100.0]])
    >>> weiszfeld(points @ points.T, np.ones(3), smoothing=1e-6, steps=1000).round(3).tolist()
    [0.0, 1.0, 0.0]
    """
    shares = weights / weights.sum()
    found = shares
    for _ in range(steps):
        pulls = shares / np.maximum(smoothing, distances(products, found))
        before, found = found, pulls / pulls.sum()
        if np.allclose(found, before, rtol=_STILL, atol=0):
            break
    return np.asarray(found)


@dataclass(frozen=True)
class GeometricMedian:
    """smoothing: nu, the least distance that counts. steps: at most so many."""

    smoothing: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-6
    steps: Annotated[int, Field(ge=1)] = 10_000

    needs_individual_updates: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"shape_keeping", "consensus", "additive", "robust"})
    needs_lora: ClassVar[bool] = False
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    @property
    def least_sites(self) -> int:
        """3: of two, every point between them is a geometric median."""
        return 3

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Return the geometric median of the updates."""
        found = all_of(updates, self.least_sites)
        weights = np.array([each.weight for each in found])
        return combined(
            found, state, weiszfeld(gram(found, state), weights, smoothing=self.smoothing, steps=self.steps)
        )

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the robust mean update to the adapter."""
        return moved(state, mean.update), memory


build = GeometricMedian
