"""As RoLoRA declares its plans: the factors B in odd rounds, A in even ones, and the head always."""

from dataclasses import dataclass

from common.plans import Foreseen


@dataclass(frozen=True)
class RoLoRA:
    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        letter = "B" if round_number % 2 else "A"
        return Foreseen(active=((f"*.lora_{letter}.*", "head.*"),))


build = RoLoRA
