"""HetLoRA, where it prunes, has a site push down its last ranks, and fewer of them later on.

The server's half is `server/aggregation/hetlora.py`.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from common.plans import Foreseen

TAIL_PENALTY: Final = "tail_penalty"
"""Weight >= 0 of the norm of the tail in a site's loss."""
TAIL_SHARE: Final = "tail_share"
"""Share in (0, 1) of a site's ranks that are not its tail."""
Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Shrinking:
    """The plain plan without pruning (gamma = 1), else two figures about the tail and a rank that falls."""

    gamma: Share = 1.0

    def foresee(self, round_number: int, site: str) -> Foreseen:  # noqa: ARG002 # the same everywhere
        """Return the plan of every round and site."""
        prunes = self.gamma < 1
        return Foreseen(extra=frozenset({TAIL_PENALTY, TAIL_SHARE}) if prunes else frozenset(), shrinks=prunes)


build = Shrinking
