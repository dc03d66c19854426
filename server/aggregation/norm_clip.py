"""Norm clipping: an update longer than C is cut down to it, then the weighted mean is taken.

Sun, Kairouz, Suresh, McMahan 2019, "Can You Really Backdoor Federated Learning?", https://arxiv.org/abs/1911.07963,
section 4.2: u min(1, C / |u|). Without a C it is the median of this round's norms, of an even number the lower one: a
minority of sites cannot raise it above the norms of all others. A bound on what one site can do in a round, and no
more: a bad site of the usual length counts in full, by the weight p_k that it says it has
(`aggregation.weighting = "uniform"` where sites may lie).

Norms and the mean are those of LoRA's products (`server.product_space`): a change of gauge changes nothing. The next
pair is the best approximation of rank r of B A + sum_k p_k c_k (B_k A_k - B A); not exact, and other than FedAvg's for
C = infinity, but for tensors that are no pairs. Bytes as FedAvg; the server holds all K updates, O(K^2 r^2 (m + n))
flops per layer. It does not go with secure aggregation; a site's own clipping does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.enough import all_of
from server.mean import moved
from server.product_space import Coefficients, combined, square_norms


def clip_factors(norms: Coefficients, bound: float | None) -> Coefficients:
    """Return min(1, C / |u_k|), (K,), 1 for an update of 0; C is the lower median of the norms where there is none.

    >>> clip_factors(np.array([0.0, 2.0, 8.0]), None).tolist(), clip_factors(np.array([0.0, 2.0]), 1.0).tolist()
    ([1.0, 1.0, 0.25], [1.0, 0.5])
    """
    limit = np.sort(norms)[(len(norms) - 1) // 2] if bound is None else bound
    longer = np.maximum(norms, limit)
    return np.asarray(np.divide(limit, longer, out=np.ones_like(norms), where=longer > 0))


@dataclass(frozen=True)
class NormClip:
    """clip_norm: C > 0, the Euclidean norm of an update over all tensors; None is the median of the round's."""

    clip_norm: Annotated[float, Field(gt=0)] | None = None

    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = False
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    @property
    def claims(self) -> frozenset[Claim]:
        """Robust where the sites' own norms are the bound: one that is set may be above them all."""
        whole: frozenset[Claim] = frozenset({"shape_keeping", "robust"})
        return whole if self.clip_norm is None else whole - {"robust"}

    @property
    def least_sites(self) -> int:
        """2 where one bounds the other, else 1."""
        return 2 if self.clip_norm is None else 1

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Return the weighted mean of the clipped updates."""
        found = all_of(updates, self.least_sites)
        weights = np.array([each.weight for each in found])
        factors = clip_factors(np.sqrt(square_norms(found, state)), self.clip_norm)
        return combined(found, state, factors * weights / weights.sum())

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the robust mean update to the adapter."""
        return moved(state, mean.update), memory


build = NormClip
