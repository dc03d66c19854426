"""FedRot-LoRA: sites turn their factors back, so the mean errs less where sites have drifted apart by rotations.

"FedRot-LoRA", 2026, https://arxiv.org/abs/2602.23638. B_k A_k = (B_k R)(R^T A_k) for every orthogonal R (r, r): of all
these pairs a site sends the one nearest to what it received, by A in odd rounds and by B in even ones (orthogonal
Procrustes, softened by lambda), which its own half does (`client/`). The server's half is the plain mean,

    A = sum_k p_k R_k^T A_k,    B = sum_k p_k B_k R_k.

Not exact, but nearer than FedAvg where sites have drifted apart by rotations. Of drift at random it takes little away:
2 to 3 % of the error at lambda = 0.5, nothing at 1; lambda = 0 is FedAvg. Up and down r (m + n) values per layer and
site; the server adds K r (m + n) numbers, a site does an SVD of r x r. One scale s holds at all sites, and cancels.
Goes with secure aggregation. Not for ranks that differ, nor where one of the factors is private.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from common.foreseen import first_plan
from common.plans.fedrot_lora import Rotating
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class FedRotLoRA:
    """rotation: the paper's lambda, how far sites turn: 0 is FedAvg, 1 the whole best rotation."""

    rotation: Annotated[float, Field(ge=0, le=1)] = 0.5

    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"linear", "shape_keeping", "consensus", "additive"})
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plan to train everything and to turn it, by A in odd rounds and by B in even ones."""
        return first_plan(Rotating(self.rotation).foresee(round_number, site), shared)

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:  # noqa: ARG002 # linear
        """Return the weighted mean."""
        return weighted_mean(updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the mean update to the adapter."""
        return moved(state, mean.update), memory


build = FedRotLoRA
