"""As HetLoRA declares its plans: each site has a rank, and is told its share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.plans import Foreseen


@dataclass(frozen=True)
class Het:
    ranks: Mapping[str, int] = field(default_factory=dict)

    def foresee(self, round_number: int, site: str) -> Foreseen:  # the seam's names
        return Foreseen(rank=self.ranks.get(site), extra=frozenset({"share"}))


build = Het
