"""FedAdagrad: the mean update D, each coordinate divided by the root of the sum of its squares so far.

Reddi et al. 2021, "Adaptive Federated Optimization", https://arxiv.org/abs/2003.00295, algorithm 2: with
v = v + D^2, v_{-1} = tau^2, and without momentum by default (beta_1 = 0), as is usual for Adagrad.

An adapter's coordinates move by 0.001 to 0.01 in a round of AdamW, so eta = 1e-2 and tau = 0.001: a step is at most
about eta per coordinate whatever the size of D, and tau keeps coordinates that hardly move from moving by eta too. (The
paper tunes both by grid; the 0.1 that suits whole networks is as large as all of a LoRA factor.)

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
from server.adaptive import adagrad, adaptive_step
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import weighted_mean


@dataclass(frozen=True)
class FedAdagrad:
    """eta > 0: the server's learning rate. beta_1 in [0, 1). tau > 0: how adaptive, small is more."""

    eta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-2
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    tau: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
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
        """Move the adapter by the adaptive step."""
        return adaptive_step(state, mean.update, memory, adagrad, eta=self.eta, beta_1=self.beta_1, tau=self.tau)


build = FedAdagrad
