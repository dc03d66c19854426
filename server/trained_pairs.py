"""The factors of each site after a round, layer by layer, for rules that look at the products B_k A_k.

Updates are held as they came, in float32; in float64 there is one layer at a time of all sites, and the result. What is
in no pair (head, norms) is averaged plainly.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.carried import carried_pair, split_carried
from common.lora_pairs import Matrix, Pair, as_matrices, pairs_of
from common.state import AdapterState, Array
from server.aggregation import ClientUpdate, Mean
from server.mean import weighted_mean

Product = tuple[Matrix, Matrix]
"""B (out, R) and A (R, in), of any R."""


@dataclass(frozen=True)
class Trained:
    """One layer's pair at one site after its training: B (out, r_k) and A (r_k, in).

    share: p_k, the site's weight among those that sent the layer; they add up to 1.
    """

    site: str
    share: float
    b: Matrix
    a: Matrix


@dataclass(frozen=True)
class Layer:
    """One layer in one round: B and A that were sent out, in the study's rank, and what the sites made of them."""

    pair: Pair
    b: Matrix
    a: Matrix
    sites: tuple[Trained, ...]

    @property
    def products(self) -> list[Product]:
        """Return (B_k, A_k) of each site."""
        return [(each.b, each.a) for each in self.sites]

    @property
    def shares(self) -> list[float]:
        """Return p_k of each site."""
        return [each.share for each in self.sites]


@dataclass(frozen=True)
class Combined:
    """What a rule makes of a layer: the next B and A in the study's rank, and what is to be carried beside them."""

    b: Matrix
    a: Matrix
    beside: Product | None = None


Rule = Callable[[Layer], Combined]


def layers(updates: Sequence[ClientUpdate], state: AdapterState) -> Iterable[Layer]:
    """Yield the layers of which some site sent a factor, by name; a factor that was not sent is as it was received."""
    sent = {name for each in updates for name in each.update}
    for pair in own_pairs(state):
        if {pair.a, pair.b} & sent:
            yield _layer(pair, updates, state)


def own_pairs(state: AdapterState) -> tuple[Pair, ...]:
    """Return the pairs of the adapter, without those that are carried beside it."""
    return pairs_of(split_carried(state)[0])


def _layer(pair: Pair, updates: Sequence[ClientUpdate], state: AdapterState) -> Layer:
    a, b = as_matrices(state, pair)
    there = [each for each in updates if pair.a in each.update or pair.b in each.update]
    total = sum(each.weight for each in there)
    sites = tuple(Trained(u.site, u.weight / total, *trained(pair, u.update, b=b, a=a)) for u in there)
    return Layer(pair, b, a, sites)


def trained(pair: Pair, update: AdapterState, *, b: Matrix, a: Matrix) -> Product:
    """Return B_k (out, r_k) and A_k (r_k, in): what the site received of `b` and `a` at its rank, and its update."""
    rank = rank_of(pair, update)
    matrix_b, matrix_a = b[:, :rank].copy(), a[:rank].copy()
    if pair.b in update:
        matrix_b += update[pair.b].astype(np.float64).reshape(matrix_b.shape)
    if pair.a in update:
        matrix_a += update[pair.a].astype(np.float64).reshape(matrix_a.shape)
    return matrix_b, matrix_a


def rank_of(pair: Pair, update: AdapterState) -> int:
    """Return a site's rank in a layer, by the shape of a factor that it sent."""
    return int(update[pair.a].shape[0] if pair.a in update else update[pair.b].shape[1])


def combined(updates: Sequence[ClientUpdate], state: AdapterState, rule: Rule) -> Mean:
    """Return the plain mean of what is in no pair, and by `rule` the change of each pair.

    What is to be carried is in `Mean.extra`, as matrices by the names of `common.carried`.

    Raises:
        ValueError: no updates.
    """
    in_pairs = {name for pair in own_pairs(state) for name in (pair.a, pair.b)}
    mean = weighted_mean(replace(each, update=_without(each.update, in_pairs)) for each in updates)
    update, extra = dict(mean.update), dict(mean.extra)
    for layer in layers(updates, state):
        found = rule(layer)
        update |= _changes(layer, found, state)
        if found.beside is not None:
            beside = carried_pair(layer.pair)
            extra |= {beside.b: found.beside[0], beside.a: found.beside[1]}
    return replace(mean, update={name: update[name] for name in sorted(update)}, extra=extra)


def _without(update: AdapterState, names: set[str]) -> dict[str, Array]:
    return {name: array for name, array in update.items() if name not in names}


def _changes(layer: Layer, found: Combined, state: AdapterState) -> Mapping[str, NDArray[np.float64]]:
    pair = layer.pair
    return {
        pair.a: (found.a - layer.a).reshape(state[pair.a].shape),
        pair.b: (found.b - layer.b).reshape(state[pair.b].shape),
    }
