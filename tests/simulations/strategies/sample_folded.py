"""What the mean of factors loses is carried: sum_k p_k (B_k - B)(A_k - A), in rank 12 at most, as FedEx-LoRA's."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from common.carried import carried_pair, split_carried
from common.lora_pairs import as_matrices, pairs_of
from common.plans import Foreseen
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.low_rank import stacked, truncated
from server.mean import moved, weighted_mean


@dataclass(frozen=True)
class Folded:
    most: int = 12
    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"exact", "consensus"})
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "(r+t*K*r)*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Beside the mean, as extra: the residual's factors of each pair."""
        held = list(updates)
        mean, found = weighted_mean(held), {}
        for pair in pairs_of(held[0].update):
            a, b = as_matrices(mean.update, pair)
            parts = [(as_matrices(each.update, pair), each.weight / mean.weight) for each in held]
            found[pair.a] = np.concatenate([part_a - a for (part_a, _), _ in parts])
            found[pair.b] = np.concatenate([p * (part_b - b) for (_, part_b), p in parts], axis=1)
        return Mean(mean.update, found, mean.weight, mean.sites)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        own, carried = split_carried(state)
        for pair in pairs_of(mean.extra):
            beside = carried_pair(pair)
            found = [(mean.extra[pair.b], mean.extra[pair.a])]
            found += [as_matrices(carried, beside)[::-1]] if beside.a in carried else []
            b, a = truncated(*stacked(found, [1.0] * len(found)), self.most)
            carried |= {beside.a: a.astype(np.float32), beside.b: b.astype(np.float32)}
        return {**moved(own, mean.update), **carried}, memory


@dataclass(frozen=True)
class Declared:
    def foresee(self, round_number: int, site: str) -> Foreseen:
        return Foreseen(carries=True)


build = Folded
declaration = Declared
