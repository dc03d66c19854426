"""FedRot-LoRA has sites turn their factors before they send them: `server/aggregation/fedrot_lora.py`."""

from dataclasses import dataclass
from typing import Final

from common.plans import Foreseen

ROTATION: Final = "rotation"
"""How far a site turns its factors, in [0, 1]: 0 is not at all, 1 is the whole best rotation."""
ROTATE_B: Final = "rotate_b"
"""1 where B is what a site aligns to the B that it received, 0 where it aligns A."""


@dataclass(frozen=True)
class Rotating:
    """Everything is trained; two figures say how to turn what was trained."""

    def foresee(self, round_number: int, site: str) -> Foreseen:  # noqa: ARG002 # the same everywhere
        """Return the plan of every round and site."""
        return Foreseen(extra=frozenset({ROTATION, ROTATE_B}))


build = Rotating
