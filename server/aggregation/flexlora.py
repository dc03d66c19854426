"""FlexLoRA: the mean of the sites' products, cut to the study's rank by an SVD; ranks of sites may differ.

Bai et al. 2024, "Federated Fine-tuning of Large Language Models under Heterogeneous Tasks and Client Resources",
https://arxiv.org/abs/2402.11505. With B_k (m, r_k) and A_k (r_k, n),

    D = sum_k p_k B_k A_k,    U S V^T = D,    B <- U_r S_r^(1/2),    A <- S_r^(1/2) V_r^T,

or with `split = "left"` the paper's own U_r S_r and V_r^T; roots on both sides keep the factors of one size. It is the
best approximation of rank r (Eckart and Young 1936): exact where D has no more ranks than the study's r, else the error
is sqrt(sum_{i > r} sigma_i^2). Ranks come by falling singular value, so a site of rank k receives in its first k the
best approximation of rank k. `energy` (tau in FLoRIST, https://arxiv.org/abs/2506.09199) keeps in each layer the fewest
ranks that have this share of sum sigma_i^2; 1 keeps all.

D is never dense: QR of [p_k B_k] (m, R) and of the stacked A_k^T (n, R), R = sum_k r_k, and the SVD of the R x R core
(`server.low_rank`): O((m + n) R^2) where the dense way takes O(m n min(m, n)). A rank that D does not fill gets B = 0
and keeps the row of A that sites received: it adds nothing and can still be trained, which zeros in both could not.

Up and down r_k (m + n) values per layer and site. One scale s holds at all sites, whatever their rank, and cancels: the
paper's own code has alpha / r_k in both directions. Needs each site's update, so not with secure aggregation; the basis
changes, so not with server optimisers that keep moments; not where A or B is private.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from common.lora_pairs import Matrix
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.low_rank import Split, compressed, stacked
from server.mean import moved
from server.trained_pairs import Combined, Layer, combined


@dataclass(frozen=True)
class FlexLoRA:
    """energy: share of the squared singular values that is kept, in (0, 1]. split: who has the singular values."""

    energy: Annotated[float, Field(gt=0, le=1)] = 1.0
    split: Split = "balanced"

    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    @property
    def claims(self) -> frozenset[Claim]:
        """Equal sites give that site where nothing is cut from what the rank can hold."""
        whole: frozenset[Claim] = frozenset({"shape_keeping", "consensus", "additive", "ranks"})
        return whole if self.energy == 1 else whole - {"consensus"}

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Return the change to the factors of the cut mean of products, one layer after the other."""
        return combined(tuple(updates), state, self._cut)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the change to the adapter."""
        return moved(state, mean.update), memory

    def _cut(self, layer: Layer) -> Combined:
        product = stacked(layer.products, layer.shares)
        rank = layer.a.shape[0]
        return Combined(*filled(*compressed(*product, rank, energy=self.energy, split=self.split), layer.a))


def filled(b: Matrix, a: Matrix, received: Matrix) -> tuple[Matrix, Matrix]:
    """Return factors of the rank of `received` (r, n): the missing columns of B are 0, the rows of A as received.

    >>> b, a = filled(np.array([[2.0]]), np.array([[3.0, 4.0]]), np.array([[0.0, 1.0], [5.0, 6.0]]))
    >>> b.tolist(), a.tolist()
    ([[2.0, 0.0]], [[3.0, 4.0], [5.0, 6.0]])
    """
    kept, rank = a.shape[0], received.shape[0]
    return np.pad(b, ((0, 0), (0, rank - kept))), np.concatenate([a, received[kept:]])


build = FlexLoRA
