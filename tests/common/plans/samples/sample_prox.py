"""As FedProx declares its plans: all tensors, a proximal term of the study's weight."""

from dataclasses import dataclass

from common.plans import Foreseen


@dataclass(frozen=True)
class Prox:
    proximal_mu: float = 0.0

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        return Foreseen(proximal_mu=self.proximal_mu)


build = Prox
