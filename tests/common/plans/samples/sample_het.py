"""As HetLoRA declares its plans: each site has a rank, and is told its share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from common.plans import Foreseen


@dataclass(frozen=True)
class Het:
    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = False
    claims: ClassVar[frozenset[str]] = frozenset({"ranks"})
    ranks: Mapping[str, int] = field(default_factory=dict)

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        return Foreseen(rank=self.ranks.get(site), extra=frozenset({("share", 0.3)}))


build = Het
