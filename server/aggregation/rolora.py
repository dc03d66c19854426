"""RoLoRA: one factor is trained in a round and the other in the next, so every round's mean is exact.

Chen et al. 2025, "Robust Federated Finetuning of LLMs via Alternating Optimization of LoRA",
https://arxiv.org/abs/2502.01755. In odd rounds A is frozen, B = sum_k p_k B_k; in even rounds B is, A = sum_k p_k A_k:

    s B A = sum_k p_k s B_k A    or    s B A = sum_k p_k s B A_k.

B comes first: at its start B = 0, where A has no gradient. Exact in each round. Up r m or r n values per layer and site
in turn, half of FedAvg's; both factors travel down, so that a site that joins late has the frozen one. The server adds
K r m or K r n numbers. One scale s holds at all sites, and cancels. Goes with secure aggregation and with noise on the
updates. Not for ranks that differ, nor where one of the factors is private.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from common.foreseen import first_plan
from common.plans.rolora import Alternating
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class RoLoRA:
    """The mean of what the round trains, with nothing to set and nothing to remember."""

    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"linear", "shape_keeping", "exact", "consensus", "additive"})
    up: ClassVar[str] = "r*(m+n)/2"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plan to train all but A in odd rounds, all but B in even ones."""
        return first_plan(Alternating().foresee(round_number, site), shared)

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:  # noqa: ARG002 # linear
        """Return the weighted mean."""
        return weighted_mean(updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the mean update to the adapter."""
        return moved(state, mean.update), memory


build = RoLoRA
