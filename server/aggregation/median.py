"""Coordinate-wise median of the updates.

Yin, Chen, Ramchandran, Bartlett 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
https://arxiv.org/abs/1803.01498, definition 1; of an even number the mean of the middle two. Unweighted as there: sites
say their example counts, so these play no part. Fewer than half of the sites may be bad.

Per coordinate of the factors, not of LoRA's products: what it bounds is each number of A and of B by those of the good
sites. A site that sends (c B, A / c), the same model, is an outlier in every coordinate and so of no harm, but good
sites whose gauges differ spread without a reason, and the median of factors is nobody's model; the distance of the
product is not bounded by that of the good products. `geometric-median` and `multi-krum` see products. Not exact.
Bytes as FedAvg; the server holds all K updates and sorts, O(K log K) per value. It does not go with secure aggregation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.coordinates import by_coordinate
from server.enough import all_of
from server.mean import moved


def middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median over the first axis."""
    return np.asarray(np.median(values, axis=0))


@dataclass(frozen=True)
class Median:
    """Nothing to set."""

    needs_individual_updates: ClassVar[bool] = True
    claims: ClassVar[frozenset[Claim]] = frozenset({"shape_keeping", "consensus", "robust"})
    needs_lora: ClassVar[bool] = False
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    @property
    def least_sites(self) -> int:
        """3: the median of two is their mean."""
        return 3

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:  # noqa: ARG002 # of updates alone
        """Return the median update."""
        return by_coordinate(all_of(updates, self.least_sites), middle)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the robust mean update to the adapter."""
        return moved(state, mean.update), memory


build = Median
