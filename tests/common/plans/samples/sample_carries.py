"""As FedEx-LoRA declares its plans: the plain ones, with a low-rank change beside the adapter."""

from dataclasses import dataclass
from typing import ClassVar

from common.plans import Foreseen


@dataclass(frozen=True)
class Carries:
    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = False
    claims: ClassVar[frozenset[str]] = frozenset({"ranks"})

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        return Foreseen(carries=True)


build = Carries
