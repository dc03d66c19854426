"""Multi-Krum: the plain mean of those updates that have most others near them.

Blanchard, El Mhamdi, Guerraoui, Stainer 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
https://arxiv.org/abs/1703.02757, sections 4 and 5. With n updates of which f may be anything, n >= 2 f + 3, the score
of u_i is the sum of |u_i - u_j|^2 over the n - f - 2 others nearest to it; the m of least score are averaged with equal
weights (m = 1 is Krum, m = n the mean). Scores are of updates, not of weights, and of squared distances over all
tensors together.

Distances and the mean are those of LoRA's products (`server.product_space`): a change of gauge changes nothing. The
next pair is the best approximation of rank r of that mean; not exact. Example counts play no part, since sites say
them. Bytes as FedAvg; the server holds all n updates and does O(n^2 r^2 (m + n)) flops per layer. It does not go with
secure aggregation, and with few sites it is coarse: 5 for f = 1, 7 for f = 2. It is no defence where good sites differ
more from each other than a bad one from them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from common.lora_pairs import Matrix
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.enough import all_of
from server.mean import moved
from server.product_space import Coefficients, combined, gram, square_distances


def scores(products: Matrix, byzantine: int) -> Coefficients:
    """Return Krum's score of each update, (n,), from the Gram matrix (n, n).

    >>> points = np.array([[0.0], [1.0], [3.0], [100.0], [0.0]])
    >>> scores(points @ points.T, byzantine=1).tolist()
    [1.0, 2.0, 13.0, 19210.0, 1.0]
    """
    count = len(products)
    others = square_distances(products)
    np.fill_diagonal(others, np.inf)
    return np.asarray(np.sort(others, axis=1)[:, : count - byzantine - 2].sum(axis=1))


def chosen(products: Matrix, byzantine: int, selected: int) -> Coefficients:
    """Return 1/m for the m updates of least score, 0 for the others; of equal scores the first."""
    order = np.argsort(scores(products, byzantine), kind="stable")[:selected]
    coefficients = np.zeros(len(products))
    coefficients[order] = 1 / len(order)
    return coefficients


@dataclass(frozen=True)
class MultiKrum:
    """byzantine: f, how many sites may be bad. selected: m, how many are averaged; None is n - f."""

    byzantine: Annotated[int, Field(ge=0)] = 1
    selected: Annotated[int, Field(ge=1)] | None = None

    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = False
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    @property
    def claims(self) -> frozenset[Claim]:
        """Robust where a bad site is reckoned with, and of no number of sites so many are selected that it is in."""
        whole: frozenset[Claim] = frozenset({"shape_keeping", "consensus", "robust"})
        leaves_out = self.selected is None or self.selected <= self.byzantine + 3
        return whole if self.byzantine and leaves_out else whole - {"robust"}

    @property
    def least_sites(self) -> int:
        """2 f + 3, and what is to be selected."""
        return max(2 * self.byzantine + 3, self.selected or 1)

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:  # noqa: ARG002
        """Return the plain plan: train all shared tensors."""
        return RoundPlan()

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Return the mean of the updates of least score."""
        found = all_of(updates, self.least_sites)
        selected = len(found) - self.byzantine if self.selected is None else self.selected
        return combined(found, state, chosen(gram(found, state), self.byzantine, selected))

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the robust mean update to the adapter."""
        return moved(state, mean.update), memory


build = MultiKrum
