"""All at once: tails are held back, pairs are turned, a site's rank may shrink, and a change is carried."""

from dataclasses import dataclass
from typing import ClassVar

from common.plans import Foreseen


@dataclass(frozen=True)
class Tails:
    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = False
    claims: ClassVar[frozenset[str]] = frozenset({"ranks"})

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        extra = frozenset({"tail_penalty", "tail_share", "rotation", "rotate_b"})
        return Foreseen(extra=extra, shrinks=True, carries=True)


build = Tails
