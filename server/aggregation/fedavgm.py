"""FedAvgM: the mean update goes through a momentum, v = beta v + D, x + eta v.

Hsu, Qi, Brown 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification",
https://arxiv.org/abs/1909.06335, section 4.2; beta = 0.9 there. Written over updates D = sum_k p_k (x_k - x), which are
the negative of the paper's. Steps of one direction add up to eta / (1 - beta) of a plain one: with the defaults to that
of FedAvg, after a slow start of some 1 / (1 - beta) rounds, so that nothing of a learning rate tuned for FedAvg is
overshot. beta = 0, eta = 1 is FedAvg.

Not exact for LoRA's products and not a mean: equal sites do not give that site. Bytes as FedAvg, and
O(r (m + n)) flops per layer. It does not go with rules that refactor a LoRA pair, since the moments belong to its
coordinates.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.adaptive import momentum_step
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import weighted_mean


@dataclass(frozen=True)
class FedAvgM:
    """beta in [0, 1): how much of the last step stays. eta > 0: the server's learning rate."""

    beta: Annotated[float, Field(ge=0, lt=1)] = 0.9
    eta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    needs_individual_updates: ClassVar[bool] = False
    claims: ClassVar[frozenset[Claim]] = frozenset({"linear", "shape_keeping", "additive"})
    needs_lora: ClassVar[bool] = False
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:  # noqa: ARG002 # linear
        """Return the weighted mean."""
        return weighted_mean(updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Move the adapter by the momentum."""
        return momentum_step(state, mean.update, memory, eta=self.eta, beta=self.beta)


build = FedAvgM
