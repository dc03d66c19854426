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
        extra = {"tail_penalty": 0.1, "tail_share": 0.5, "rotation": 0.5, "rotate_b": 1.0}
        return Foreseen(extra=frozenset(extra.items()), shrinks=True, carries=True)


build = Tails
