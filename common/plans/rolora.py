"""RoLoRA trains one of the factors in a round, and the other in the next: `server/aggregation/rolora.py`."""

from dataclasses import dataclass

from common.lora_pairs import FROZEN_A, FROZEN_B
from common.plans import Foreseen


@dataclass(frozen=True)
class Alternating:
    """All but A in odd rounds, all but B in even ones: B is 0 at first, and A has no gradient before it moves."""

    def foresee(self, round_number: int, site: str) -> Foreseen:  # noqa: ARG002 # the same at every site
        """Return the plan of a round."""
        return Foreseen(frozen=FROZEN_A if round_number % 2 else FROZEN_B)


build = Alternating
