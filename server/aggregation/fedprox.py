"""FedProx: sites minimise their loss + mu/2 ||x - x_t||^2, and the next adapter is the weighted mean of theirs.

Li et al. 2020, "Federated Optimization in Heterogeneous Networks", https://arxiv.org/abs/1812.06127, algorithm 2. The
plan carries mu; the site ties its shared tensors, and adds mu (x - x_t) to the gradient of each step, under AdamW: so
the norm that a gradient is clipped to includes it. mu = 0 is FedAvg. Sites are told of it by `common/plans/fedprox.py`.

Not exact for LoRA's products, as FedAvg. Bytes and flops of the server as FedAvg; a site holds one more copy of the
adapter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class FedProx:
    """proximal_mu from 0 to 1000, more than which no site accepts: how strongly it is tied to what it received."""

    proximal_mu: Annotated[float, Field(ge=0, le=1e3)] = 0.01
    needs_individual_updates: ClassVar[bool] = False
    claims: ClassVar[frozenset[Claim]] = frozenset({"linear", "shape_keeping", "consensus", "additive"})
    needs_lora: ClassVar[bool] = False
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plan to train all shared tensors with the proximal term."""
        return RoundPlan(proximal_mu=self.proximal_mu)

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:  # noqa: ARG002 # linear
        """Return the weighted mean."""
        return weighted_mean(updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the mean update to the adapter."""
        return moved(state, mean.update), memory


build = FedProx
