"""The plain plan, of a strategy that takes updates of different ranks."""

from dataclasses import dataclass
from typing import ClassVar

from common.plans import Foreseen


@dataclass(frozen=True)
class Plain:
    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[str]] = frozenset({"ranks"})

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        return Foreseen()


build = Plain
