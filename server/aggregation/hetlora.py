"""HetLoRA: factors of different ranks are filled up with zeros and averaged, by the norms of the sites' products.

Cho et al. 2024, "Heterogeneous LoRA for Federated Fine-tuning of On-Device Foundation Models",
https://arxiv.org/abs/2401.06432. A site of rank r_k has the first r_k rows of A and columns of B, and

    A = sum_k w_k [A_k; 0] (r, n),    B = sum_k w_k [B_k 0] (m, r),    w_k ~ ||B_k A_k||_F in each layer,

where ||B A||_F = sqrt(tr((B^T B)(A A^T))) costs O((m + n) r^2). `weighting_by = "examples"` is plain zero-padding with
the round's weights. What is in no pair is averaged with the round's weights in either case.

Not exact, as FedAvg is not; and the last ranks are diluted by the zeros of sites that do not have them. It is here as
the baseline that people ask for. By norms a site with a large product has a large weight, whatever its rows, so that it
needs `aggregation.norm_bound` where sites are not trusted. A rank that no site of a round has keeps its row of A, with
B = 0: the product is that of the paper, but the rank can still be trained, which zeros in both could not.

Rank self-pruning, for gamma < 1: sites add penalty ||B[:, h:]|| ||A[h:, :]|| to their loss, h = floor(gamma r_k), and a
site's rank becomes h, for good, where the sum over layers of this is less after training than it was before. The round
in which this happens already leaves the tail out. The server knows ranks by the shapes of updates; those that fell are
in its memory, by site.

Up and down r_k (m + n) values per layer and site; the server adds K r (m + n) numbers and does O(K (m + n) r^2) more.
One scale s holds at all sites, whatever their rank, and cancels. Norms need each site's update, so not with secure
aggregation; not where A or B is private.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from common.foreseen import first_plan
from common.lora_pairs import Matrix
from common.plans.hetlora import Penalty, Share, Shrinking
from common.protocol import RoundPlan
from common.rank_slices import tail_start
from common.state import AdapterSchema, AdapterState
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.mean import moved
from server.trained_pairs import Combined, Layer, Product, combined, layers, own_pairs, rank_of

_RANK = "rank."
"""How names in the memory, of a site's rank that fell, begin."""


@dataclass(frozen=True)
class HetLoRA:
    """weighting_by: norms of products, or example counts. gamma: share of the ranks that pruning keeps; 1 is none.

    penalty: the weight of the tail's norm in the sites' loss.
    """

    weighting_by: Literal["norm", "examples"] = "norm"
    gamma: Share = 1.0
    penalty: Penalty = 0.0

    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    @property
    def claims(self) -> frozenset[Claim]:
        """Equal sites give that site where no tail is left out; norms are no weights that a site split in two keeps."""
        consensus: frozenset[Claim] = frozenset({"consensus"} if self.gamma == 1 else ())
        additive: frozenset[Claim] = frozenset({"additive"} if self.weighting_by == "examples" else ())
        return consensus | additive | frozenset({"shape_keeping", "ranks"})

    def __post_init__(self) -> None:
        if self.penalty and self.gamma >= 1:
            raise ValueError(f"penalty = {self.penalty} is of the ranks that gamma < 1 leaves out; set gamma too")

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:
        """Return the plain plan, and where ranks are pruned what the site does about its tail, at its rank by now."""
        plan = first_plan(Shrinking(self.gamma, self.penalty).foresee(round_number, site), shared)
        fallen = memory.get(_RANK + site)
        return plan if fallen is None else replace(plan, rank=int(fallen.item()))

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        """Return the change to the weighted mean of filled factors, and in `extra` the ranks that fell."""
        held = tuple(updates)
        fallen = ranks_that_fell(held, state, self.gamma) if self.gamma < 1 else {}
        mean = combined(held, state, lambda layer: self._average(_without_tails(layer, fallen)))
        return replace(mean, extra={**mean.extra, **{_RANK + s: np.array([float(r)]) for s, r in fallen.items()}})

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        """Add the change to the adapter and remember the ranks that fell."""
        fallen = {name: array.astype(np.int64) for name, array in mean.extra.items() if name.startswith(_RANK)}
        return moved(state, mean.update), {**memory, **fallen}

    def _average(self, layer: Layer) -> Combined:
        weights = norm_weights(layer.products) if self.weighting_by == "norm" else layer.shares
        return Combined(*padded_mean(layer.products, weights, layer.a))


def norm_weights(pairs: Sequence[Product]) -> list[float]:
    """Return ||B_k A_k||_F over their sum, equal weights where all products are 0.

    >>> norm_weights([(np.array([[3.0]]), np.array([[1.0]])), (np.array([[1.0, 0.0]]), np.array([[0.0], [1.0]]))])
    [1.0, 0.0]
    """
    norms = [product_norm(b, a) for b, a in pairs]
    total = sum(norms)
    return [norm / total if total else 1.0 / len(norms) for norm in norms]


def product_norm(b: Matrix, a: Matrix) -> float:
    """Return ||b @ a||_F by tr((B^T B)(A A^T)), which has r x r matrices only.

    >>> product_norm(np.array([[3.0], [4.0]]), np.array([[2.0]]))
    10.0
    """
    return float(np.sqrt(max(0.0, np.sum((b.T @ b) * (a @ a.T)))))


def padded_mean(pairs: Sequence[Product], weights: Sequence[float], received: Matrix) -> tuple[Matrix, Matrix]:
    """Return sum_k w_k [B_k 0] and sum_k w_k [A_k; 0], in the rank of `received` (r, n), the A that was sent out.

    Rows of A that are no site's are those of `received`.
    """
    a, b = received.copy(), np.zeros((pairs[0][0].shape[0], received.shape[0]))
    a[: max(a_k.shape[0] for _, a_k in pairs)] = 0.0
    for (b_k, a_k), weight in zip(pairs, weights, strict=True):
        a[: a_k.shape[0]] += weight * a_k
        b[:, : b_k.shape[1]] += weight * b_k
    return b, a


def ranks_that_fell(updates: Sequence[ClientUpdate], state: AdapterState, gamma: float) -> Mapping[str, int]:
    """Return the new rank of each site whose tail is less, over all layers, than what it received of it."""
    kept = {each.site: tail_start(_rank(each.update, state), gamma) for each in updates}
    change = dict.fromkeys(kept, 0.0)
    for layer in layers(updates, state):
        for each in layer.sites:
            start, end = kept[each.site], each.a.shape[0]
            before = tail_norm(layer.b[:, :end], layer.a[:end], start)
            change[each.site] += tail_norm(each.b, each.a, start) - before
    return {site: kept[site] for site in kept if change[site] < 0}


def tail_norm(b: Matrix, a: Matrix, start: int) -> float:
    """Return ||B[:, start:]|| ||A[start:, :]||, of Frobenius norms; 0 where there are no more than `start` ranks.

    >>> tail_norm(np.array([[1.0, 3.0]]), np.array([[1.0], [2.0]]), 1)
    6.0
    """
    return float(np.linalg.norm(b[:, start:]) * np.linalg.norm(a[start:]))


def _rank(update: AdapterState, state: AdapterState) -> int:
    sent = [pair for pair in own_pairs(state) if pair.a in update or pair.b in update]
    return max((rank_of(pair, update) for pair in sent), default=1)


def _without_tails(layer: Layer, fallen: Mapping[str, int]) -> Layer:
    """Return the layer with as many ranks of each site as it has by now; None of them changed is all of them."""
    kept = [(each, fallen.get(each.site)) for each in layer.sites]
    return replace(layer, sites=tuple(replace(each, b=each.b[:, :rank], a=each.a[:rank]) for each, rank in kept))


build = HetLoRA
