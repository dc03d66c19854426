"""As FedProx declares its plans: all tensors, a proximal term of the study's weight."""

from dataclasses import dataclass
from typing import ClassVar

from common.plans import Foreseen


@dataclass(frozen=True)
class Prox:
    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = False
    claims: ClassVar[frozenset[str]] = frozenset({"ranks"})
    proximal_mu: float = 0.0

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        return Foreseen(proximal_mu=self.proximal_mu)


build = Prox
