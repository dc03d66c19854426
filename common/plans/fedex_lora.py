"""FedEx-LoRA trains everything, beside a low-rank change that it carries: `server/aggregation/fedex_lora.py`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from common.plans import Foreseen


@dataclass(frozen=True)
class Carrying:
    """The plain plan; something may be carried, in each layer of at most `carried_rank` where that is given."""

    carried_rank: Annotated[int, Field(ge=1)] | None = None

    def foresee(self, round_number: int, site: str) -> Foreseen:  # noqa: ARG002 # the same everywhere
        """Return the plan of every round and site."""
        return Foreseen(carries=True, carried_rank=self.carried_rank)


build = Carrying
