"""FFA-LoRA trains the second factors and never the first: `server/aggregation/ffa_lora.py`."""

from dataclasses import dataclass

from common.lora_pairs import FROZEN_A
from common.plans import Foreseen


@dataclass(frozen=True)
class FrozenFirst:
    """In every round all but A."""

    def foresee(self, round_number: int, site: str) -> Foreseen:  # noqa: ARG002 # the same everywhere
        """Return the plan of every round and site."""
        return Foreseen(frozen=FROZEN_A)


build = FrozenFirst
