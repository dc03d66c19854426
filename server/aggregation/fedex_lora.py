"""FedEx-LoRA: the mean of the factors, and beside it what the mean of the products has more.

Singhal et al. 2025, "FedEx-LoRA: Exact Aggregation for Federated and Efficient Fine-Tuning of Foundation Models",
https://arxiv.org/abs/2410.09432. With A = sum_k p_k A_k (r, n) and B = sum_k p_k B_k (m, r),

    sum_k p_k B_k A_k = B A + sum_k p_k (B_k - B) (A_k - A),

and the last sum, a covariance of rank (K - 1) r at most, is what the mean of the factors lacks. The paper weighs sites
equally and adds the sum to the base weights. Here the weights are the round's, and the sum is carried as low-rank
factors beside the adapter (`common.carried`): added to what is carried already and written in the fewest ranks, of
which there are at most min(m, n). Written as a covariance it is 0 to the last bit where sites agree in a factor.

Exact with `carried_rank` unset, but for the rounding of factors to float32; with it, each layer carries the best
approximation of that rank, and sqrt(sum of the dropped sigma_i^2) is lost in each round. Exact means the mean of the
products: one local step of gradient descent it does not follow better than FedAvg, whose mean of factors is that step.

Up r (m + n) values per layer and site, down r (m + n) and what is carried after t rounds, min(m, n, t (K - 1) r) (m +
n). The server: O((m + n) R^2), R = K r and what is carried. One scale s holds at all sites, and cancels. Needs each
site's update, so not with secure aggregation; not for ranks that differ, nor where A or B is private.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from common.carried import split_carried
from common.foreseen import first_plan
from common.lora_pairs import Matrix
from common.plans.fedex_lora import Carrying
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.carrying import carried_after
from server.low_rank import compressed, stacked
from server.mean import moved
from server.trained_pairs import Combined, Layer, Product, combined


@dataclass(frozen=True)
class FedExLoRA:
    """carried_rank: the most ranks that a layer carries; None is all of them, which is exact."""

    carried_rank: Annotated[int, Field(ge=1)] | None = None

    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n) + min(m, n, t*(K-1)*r)*(m+n)"

    @property
    def claims(self) -> frozenset[Claim]:
        """Exact where all ranks are carried."""
        whole: frozenset[Claim] = frozenset({"exact", "consensus", "additive"})
        return whole if self.carried_rank is None else whole - {"exact"}

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return first_plan(Carrying(self.carried_rank).foresee(round_number, site), shared)

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Return the mean of the factors, and in `extra` what the mean of the products has more."""
        return combined(tuple(updates), state, _mean_and_covariance)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the mean update to the adapter, and the rest to what is carried."""
        own = moved(split_carried(state)[0], mean.update)
        return {**own, **carried_after(state, mean.extra, rank=self.carried_rank)}, memory


def _mean_and_covariance(layer: Layer) -> Combined:
    b, a = mean_factors(layer.products, layer.shares)
    drifts = [(b_k - b, a_k - a) for b_k, a_k in layer.products]
    return Combined(b, a, compressed(*stacked(drifts, layer.shares)))


def mean_factors(pairs: Sequence[Product], shares: Sequence[float]) -> tuple[Matrix, Matrix]:
    """Return sum_k p_k B_k and sum_k p_k A_k, from the first on: factors that are equal have exactly themselves."""
    b, a = (first.copy() for first in pairs[0])
    for (b_k, a_k), share in zip(pairs[1:], shares[1:], strict=True):
        b += share * (b_k - pairs[0][0])
        a += share * (a_k - pairs[0][1])
    return b, a


build = FedExLoRA
