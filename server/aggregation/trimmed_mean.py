"""Coordinate-wise mean without the largest and the smallest values.

Yin, Chen, Ramchandran, Bartlett 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
https://arxiv.org/abs/1803.01498, definition 2: of K values the mean of what is left without the beta K largest and the
beta K smallest. Unweighted as there: sites say their example counts, so these play no part. beta K is rounded up, so
that a share beta of bad sites is always cut off, but never beyond the median. beta = 0 is the unweighted mean.

Per coordinate of the factors, not of LoRA's products: what it bounds is each number of A and of B by those of the good
sites. A site that sends (c B, A / c), the same model, is an outlier in every coordinate and so of no harm, but good
sites whose gauges differ spread without a reason, and the median of factors is nobody's model; the distance of the
product is not bounded by that of the good products. `geometric-median` and `multi-krum` see products. Not exact.
Bytes as FedAvg; the server holds all K updates and sorts, O(K log K) per value. It does not go with secure aggregation.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.coordinates import by_coordinate
from server.enough import all_of
from server.mean import moved


def cut(share: float, count: int) -> int:
    """Return how many of `count` values go at either end; the product is rounded first, so that 0.07 * 100 is 7.

    >>> cut(0.2, 5), cut(0.2, 6), cut(0.4, 6), cut(0.0, 3)
    (1, 2, 2, 0)
    """
    return min(ceil(round(share * count, 9)), (count - 1) // 2)


def trimmed(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return the mean over the first axis without the share of largest and of smallest values."""
    gone = cut(share, len(values))
    return np.asarray(np.sort(values, axis=0)[gone : len(values) - gone].mean(axis=0))


@dataclass(frozen=True)
class TrimmedMean:
    """trim: beta, the share of sites that is cut off at either end, from 0 to below 1/2."""

    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.2

    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = False
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    @property
    def claims(self) -> frozenset[Claim]:
        """Robust where anything is cut off."""
        whole: frozenset[Claim] = frozenset({"shape_keeping", "consensus", "robust"})
        return whole if self.trim > 0 else whole - {"robust"}

    @property
    def least_sites(self) -> int:
        """3 where anything is to be cut off."""
        return 3 if self.trim else 1

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:  # noqa: ARG002 # of updates alone
        """Return the trimmed mean."""
        return by_coordinate(all_of(updates, self.least_sites), partial(trimmed, share=self.trim))

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the robust mean update to the adapter."""
        return moved(state, mean.update), memory


build = TrimmedMean
