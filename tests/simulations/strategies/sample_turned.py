"""The mean, of pairs that sites turned towards what they received: A in odd rounds, B in even ones, as FedRot-LoRA."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from common.plans import Foreseen
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class Turned:
    strength: float = 0.5
    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"linear", "shape_keeping"})
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:
        return RoundPlan(extra={"rotation": self.strength, "rotate_b": float(round_number % 2 == 0)})

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        return weighted_mean(updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        return moved(state, mean.update), memory


@dataclass(frozen=True)
class Declared:
    def foresee(self, round_number: int, site: str) -> Foreseen:
        return Foreseen(extra=frozenset({"rotation", "rotate_b"}))


build = Turned
declaration = Declared
