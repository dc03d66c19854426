"""As RoLoRA declares its plans: the factors B in odd rounds, A in even ones, and the head always."""

from dataclasses import dataclass
from typing import ClassVar

from common.plans import Foreseen


@dataclass(frozen=True)
class RoLoRA:
    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = False
    claims: ClassVar[frozenset[str]] = frozenset({"ranks"})

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        letter = "B" if round_number % 2 else "A"
        return Foreseen(active=((f"*.lora_{letter}.*", "head.*"),))


build = RoLoRA
