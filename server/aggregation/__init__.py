"""Strategies: one file is one way to make the next shared adapter from the clients' updates.

A strategy module has `build`, a frozen dataclass whose fields are the strategy's options and which is a `Strategy`. It
sees numpy arrays only, keeps nothing between rounds but what `step` returns as memory, and mutates nothing. What it
plans beyond the plain plan it declares to the sites, by a file of the same name in `common/plans`; else they refuse.
Its module docstring cites the paper and states the formula, whether it is exact, bytes, flops, and what it does not go
with.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState, Array

Claim = Literal["linear", "shape_keeping", "exact", "consensus", "additive", "ranks", "robust"]
"""What a strategy may promise, with the options that it has; `tests/server/aggregation` holds it to its word.

linear: `combine` is the weighted mean of the updates, so that a secure sum can take its place.
shape_keeping: `step` returns the names, shapes and dtypes that it was given.
shape_keeping means besides that nothing is carried beside the adapter (`common.carried`).
exact: for a LoRA pair the next B @ A, with what is carried, is the weighted mean of the clients' B @ A, in updates such
    as its plan allows, and every other tensor is the weighted mean of the clients'. The mean of the factors is not.
consensus: clients that all have the same update make the next adapter theirs, in effective weights.
additive: one client split into two of half its weight changes nothing.
ranks: updates may have different LoRA ranks, those of `federation.ranks`.
robust: one bad site of five, or two of seven, with options set for that many (`byzantine`, `trim`), moves the next
    adapter by no more than the good ones differ, whichever of `simulations/attacks` it plays.
"""

Memory = Mapping[str, Array]
"""What a strategy carries from round to round, by name; empty before the first round."""


@dataclass(frozen=True)
class ClientUpdate:
    """One accepted reply: trained minus received, for the tensors that the site's plan made active.

    weight: relative weight in the mean, > 0: the number of examples, or 1 for every site.
    extra: further arrays that the plan asked for. At a site with a LoRA rank of its own (`federation.ranks`) the pairs
    have its rank.
    """

    site: str
    update: AdapterState
    examples: int
    weight: float
    extra: AdapterState = field(default_factory=dict)


@dataclass(frozen=True)
class Mean:
    """What `combine` makes of a round's updates, in float64; a tensor that no site sent is absent.

    weight: sum of the weights. sites: number of updates.
    """

    update: Mapping[str, NDArray[np.float64]]
    extra: Mapping[str, NDArray[np.float64]]
    weight: float
    sites: int


class Strategy(Protocol):
    """The seam between the round protocol and an aggregation rule.

    needs_individual_updates: False where the weighted mean is enough; True shuts out secure aggregation.
    needs_lora: whether it is about the pairs of LoRA; other methods are then refused when the study is checked.
    up, down: numbers that travel per LoRA layer and site in a round, a formula in the rank r, the layer's m x n (out x
    in), and for what is carried the number of clients K and the number of rounds t, such as "r*(m+n)".
    """

    needs_individual_updates: ClassVar[bool]
    needs_lora: ClassVar[bool]
    up: ClassVar[str]
    down: ClassVar[str]

    @property
    def claims(self) -> frozenset[Claim]:
        """What it promises with these options; a class variable where they make no difference."""
        ...

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:
        """Return what `site` is asked to do in this round (counted from 1); `shared` has the tensors that travel.

        The server adds the site's rank of `federation.ranks` where the plan has none.
        """
        ...

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Reduce the updates, read once and one at a time in the order of site names, to their mean.

        state: what the sites trained from, before each was cut to its rank. A linear strategy does not look at it.
        """
        ...

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Return the next shared adapter, with what is carried beside it, and the next memory."""
        ...
