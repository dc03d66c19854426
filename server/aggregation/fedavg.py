"""FedAvg: the next adapter is the weighted mean of the clients' adapters.

McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data",
https://arxiv.org/abs/1602.05629, algorithm 1. Written over updates, x + sum_k w_k (x_k - x) / sum_k w_k, which is the
same number; the weights are the sites' example counts as in the paper, or equal (`aggregation.weighting`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class FedAvg:
    """The mean, with nothing to set and nothing to remember."""

    needs_individual_updates: ClassVar[bool] = False
    claims: ClassVar[frozenset[Claim]] = frozenset({"linear", "shape_keeping", "consensus", "additive"})
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
        """Add the mean update to the adapter."""
        return moved(state, mean.update), memory


build = FedAvg
