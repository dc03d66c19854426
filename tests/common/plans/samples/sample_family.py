"""A strategy that decides as it goes which part is trained: one of those that the study names, with a pull."""

from dataclasses import dataclass
from typing import ClassVar

from common.plans import Foreseen


@dataclass(frozen=True)
class Family:
    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = False
    claims: ClassVar[frozenset[str]] = frozenset({"ranks"})
    parts: tuple[tuple[str, ...], ...] = (("*",),)
    proximal_mu: float = 0.0

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        return Foreseen(active=self.parts, proximal_mu=self.proximal_mu)


build = Family
