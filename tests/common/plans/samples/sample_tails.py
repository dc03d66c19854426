"""All at once: tails are held back, pairs are turned, a site's rank may shrink, and a change is carried."""

from dataclasses import dataclass
from typing import ClassVar

from common.plans import Foreseen


@dataclass(frozen=True)
class Tails:
    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = False
    claims: ClassVar[frozenset[str]] = frozenset({"ranks"})
    tail_penalty: float = 0.0
    tail_share: float = 0.5
    rotation: float = 0.0
    rotate_b: float = 0.0

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        return Foreseen(extra=frozenset(vars(self).items()), shrinks=True, carries=True)


build = Tails
