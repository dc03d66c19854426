"""What FedProx asks of sites: all shared tensors, tied to what was received by mu/2 ||x - x_t||^2.

Li et al. 2020, https://arxiv.org/abs/1812.06127; see `server/aggregation/fedprox.py`.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from common.plans import Foreseen


@dataclass(frozen=True)
class FedProx:
    """The strategy's option, with its bounds and default."""

    proximal_mu: Annotated[float, Field(ge=0, le=1e3)] = 0.01

    def foresee(self, round_number: int, site: str) -> Foreseen:  # noqa: ARG002 # the same in all
        """Return the plan of every round and site."""
        return Foreseen(proximal_mu=self.proximal_mu)


build = FedProx
