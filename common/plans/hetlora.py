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
Penalty = Annotated[float, Field(ge=0, le=1e3)]
"""As a site's trainer takes it (`client.plan_extras`)."""


@dataclass(frozen=True)
class Shrinking:
    """The plain plan without pruning (gamma = 1), else two figures about the tail and a rank that falls."""

    gamma: Share = 1.0
    penalty: Penalty = 0.0

    def foresee(self, round_number: int, site: str) -> Foreseen:  # noqa: ARG002 # the same everywhere
        """Return the plan of every round and site."""
        prunes = self.gamma < 1
        extra = {TAIL_PENALTY: self.penalty, TAIL_SHARE: self.gamma} if prunes else {}
        return Foreseen(extra=frozenset(extra.items()), shrinks=prunes)


build = Shrinking
