"""FedRot-LoRA has sites turn their factors before they send them: `server/aggregation/fedrot_lora.py`."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from common.plans import Foreseen

ROTATION: Final = "rotation"
"""How far a site turns its factors, in [0, 1]: 0 is not at all, 1 is the whole best rotation."""
ROTATE_B: Final = "rotate_b"
"""1 where B is what a site aligns to the B that it received, 0 where it aligns A."""


@dataclass(frozen=True)
class Rotating:
    """Everything is trained; two figures say how to turn what was trained, by A in odd rounds and by B in even ones."""

    rotation: Annotated[float, Field(ge=0, le=1)] = 0.5

    def foresee(self, round_number: int, site: str) -> Foreseen:  # noqa: ARG002 # the same at all sites
        """Return the plan of a round."""
        return Foreseen(extra=frozenset({(ROTATE_B, float(round_number % 2 == 0)), (ROTATION, self.rotation)}))


build = Rotating
