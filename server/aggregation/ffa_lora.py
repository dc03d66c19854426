"""FFA-LoRA: the first factors are frozen and the same everywhere, so the mean of the second factors is exact.

Sun et al. 2024, "Improving LoRA in Privacy-preserving Federated Learning", https://arxiv.org/abs/2403.12313. With A
(r, n) frozen and B_k (m, r) trained, W = W0 + s B A is linear in B:

    B = sum_k p_k B_k,    s B A = sum_k p_k s B_k A.

Exact. Up r m values per layer and site, half of FedAvg's where m = n; A is drawn once, when the study is prepared, and
travels down with B (the paper need not send it again). The server adds K r m numbers. One scale s holds at all sites,
and cancels. Noise on B stays linear in the weights, so it goes with local differential privacy and with secure
aggregation. It wants a learning rate about ten times LoRA's. Not for ranks that differ, nor where A is private.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from common.foreseen import first_plan
from common.plans.ffa_lora import FrozenFirst
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class FFALoRA:
    """The mean of the second factors, with nothing to set and nothing to remember."""

    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"linear", "shape_keeping", "exact", "consensus", "additive"})
    up: ClassVar[str] = "r*m"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plan to train all but A."""
        return first_plan(FrozenFirst().foresee(round_number, site), shared)

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:  # noqa: ARG002 # linear
        """Return the weighted mean."""
        return weighted_mean(updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the mean update to the adapter."""
        return moved(state, mean.update), memory


build = FFALoRA
