"""The mean of updates, those of lower ranks filled with zeros: what ranks of sites need of a strategy, and no more."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from common.protocol import RoundPlan
from common.rank_slices import padded
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class PaddedMean:
    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"shape_keeping", "consensus", "ranks"})
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        schema = AdapterSchema.of(state)
        return weighted_mean(replace(each, update=padded(each.update, schema)) for each in updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        return moved(state, mean.update), memory


build = PaddedMean
