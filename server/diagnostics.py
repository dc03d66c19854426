"""What a round's updates say of each other: how much an average of LoRA's factors loses, and how far sites are apart.

With u_k = (dA_k, dB_k, ...) what site k has trained, p_k its weight (sum 1), a mean sum_k p_k x_k written x-, and
A, B, W what all sites were sent; norms are Frobenius' over all LoRA pairs, or Euclidean over all tensors:

    aggregation_error   |sum_k p_k (B_k - B-)(A_k - A-)| / |sum_k p_k (B_k A_k - B A)|
    drift               sum_k p_k |u_k - u-| / |u-|
    cosine of a site    <u_k, u-> / (|u_k| |u-|)
    pairwise_cosine     mean of <u_j, u_k> / (|u_j| |u_k|) over j != k = (|sum_k u_k / |u_k||^2 - K) / (K (K - 1))
    effective_rank      of sum_k p_k (B_k A_k - B A), the mean over pairs (`server.factor_sums.effective_rank`)

sum_k p_k B_k A_k - B- A- = sum_k p_k (B_k - B-)(A_k - A-), so the aggregation error is what the product of the averaged
factors differs from the average of the products (FedEx-LoRA, Singhal et al. 2025, https://arxiv.org/abs/2410.09432,
formula 10, has it as residual). It is second order in how far sites are apart, 0 where they share a factor, and is
about averaging: strategies that do otherwise are told what averaging would have cost. LoRA's scale is left out, being
the same in all layers unless `peft.alpha` is given beside `peft.ranks`. A tensor that a site did not train, and ranks
that it does not have, count as unchanged.

One pass over the updates for their weights, which looks at no tensor, and two for each group of layers: memory does not
grow with the number of sites, and beside one update only some layers are held. With secure aggregation nobody has
updates, so no state but this reads them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod, sqrt
from typing import Any, Final  # JSON values

import numpy as np

from common.carried import split_carried
from common.lora_pairs import Matrix, Pair, as_matrices, pairs_of
from common.rank_slices import padded
from common.state import AdapterSchema, AdapterState, norm
from server.aggregation import ClientUpdate
from server.factor_sums import ProductSum, effective_rank

Read = Callable[[tuple[str, ...]], Iterable[ClientUpdate]]
"""Reads every update of the round, with these tensors and no others, one at a time; may be called again."""
_GROUP: Final = 1 << 22
"""Numbers of the products of the layers that are looked at together: a file is opened once for all of them."""
_HELD: Final = 1 << 17
"""Numbers of their tensors themselves, of which some copies in float64 are held."""
_NOISE: Final = 1e-14
"""A relative figure below it is rounding."""


@dataclass(frozen=True)
class Diagnostics:
    """The figures of one round; `reasons` says of each that is None why."""

    aggregation_error: float | None
    effective_rank: float | None
    drift: float | None
    pairwise_cosine: float | None
    cosines: Mapping[str, float | None]
    reasons: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return a value for `results.json`, in ten digits: the last ones of a sum depend on where in memory it is."""
        figures = ("aggregation_error", "effective_rank", "drift", "pairwise_cosine")
        return {
            **{name: _rounded(getattr(self, name)) for name in figures},
            "cosines": {site: _rounded(value) for site, value in self.cosines.items()},
            "reasons": dict(self.reasons),
        }


def _rounded(value: float | None) -> float | None:
    return value if value is None else 0.0 if abs(value) < _NOISE else float(f"{value:.10g}")


@dataclass(frozen=True)
class _Whole:
    """Of each site, its share p_k and |u_k|."""

    shares: Mapping[str, float]
    norms: Mapping[str, float]


@dataclass(frozen=True)
class _Sums:
    """Sums over tensors and pairs: |sum u_k/|u_k||^2, |u-|^2, by site <u_k, u-> and |u_k - u-|^2, and of products."""

    units: float = 0.0
    mean: float = 0.0
    products: Mapping[str, float] = field(default_factory=dict)
    distances: Mapping[str, float] = field(default_factory=dict)
    error: float = 0.0
    change: float = 0.0
    ranks: tuple[float, ...] = ()


def diagnose(read: Read, state: AdapterState, norms: Mapping[str, float]) -> Diagnostics:
    """Return the figures of a round from its updates.

    state: what the sites trained from, before a cut to its rank. norms: |u_k| by site, as admission has found them.
    """
    own = split_carried(state)[0]
    schema = AdapterSchema.of(own)
    whole = _Whole(_shares(read(())), norms)
    sums = _Sums()
    for names in _groups(schema):
        mean = _mean_of(read(names), schema, whole, names)
        sums = _added(sums, _second_pass(read(names), own, schema, whole, mean))
    return _figures(whole, sums, has_pairs=bool(pairs_of(schema.names)))


def _shares(updates: Iterable[ClientUpdate]) -> dict[str, float]:
    weights = {client.site: client.weight for client in updates}
    total = sum(weights.values())
    return {site: weight / total for site, weight in weights.items()}


def _mean_of(
    updates: Iterable[ClientUpdate], schema: AdapterSchema, whole: _Whole, names: tuple[str, ...]
) -> dict[str, Matrix]:
    """Return u- of these tensors, in full ranks."""
    mean = {spec.name: np.zeros(spec.shape) for spec in schema.only(names).tensors}
    for client in updates:
        for name, array in padded(client.update, schema).items():
            mean[name] += whole.shares[client.site] * array.astype(np.float64)
        del client
    return mean


def _groups(schema: AdapterSchema) -> Iterator[tuple[str, ...]]:
    """Yield the names of the tensors, the two factors of a layer together, in groups of bounded size."""
    pairs = pairs_of(schema.names)
    paired = {name for pair in pairs for name in (pair.a, pair.b)}
    parts = [(pair.a, pair.b) for pair in pairs] + [(name,) for name in schema.names if name not in paired]
    shapes = schema.shapes
    group: tuple[str, ...] = ()
    products = held = 0
    for part in parts:
        size = sum(prod(shapes[name]) for name in part)
        product = prod(shapes[part[0]][1:]) * shapes[part[1]][0] if len(part) == 2 else 0
        if group and (products + product > _GROUP or held + size > _HELD):
            yield group
            group, products, held = (), 0, 0
        group, products, held = group + part, products + product, held + size
    yield group


def _second_pass(
    updates: Iterable[ClientUpdate],
    state: AdapterState,
    schema: AdapterSchema,
    whole: _Whole,
    mean: Mapping[str, Matrix],
) -> _Sums:
    names, pairs = tuple(mean), pairs_of(mean)
    units = {name: np.zeros(array.shape) for name, array in mean.items()}
    errors = {pair: ProductSum((state[pair.b].shape[0], prod(state[pair.a].shape[1:]))) for pair in pairs}
    products: dict[str, float] = {}
    distances: dict[str, float] = {}
    for client in updates:
        update = _in_full(client.update, schema, mean)
        apart = {name: np.asarray(update[name] - mean[name]) for name in names}
        products[client.site] = sum(float(np.vdot(update[name], mean[name])) for name in names)
        distances[client.site] = norm(apart) ** 2
        for name in names:
            units[name] += update[name] / (whole.norms[client.site] or 1.0)
        errors = {pair: _with_site(errors[pair], apart, pair, whole.shares[client.site]) for pair in pairs}
        del client, update, apart
    sums = _Sums(norm(units) ** 2, norm(mean) ** 2, products, distances)
    for pair in pairs:
        sums = _added(sums, _of_pair(errors[pair], as_matrices(state, pair), as_matrices(mean, pair)))
    return sums


def _in_full(update: AdapterState, schema: AdapterSchema, like: Mapping[str, Matrix]) -> dict[str, Matrix]:
    """Return an update in float64 and full ranks, with zeros for what was not trained."""
    sent = padded(update, schema)
    return {name: sent[name].astype(np.float64) if name in sent else np.zeros(like[name].shape) for name in like}


def _with_site(error: ProductSum, apart: Mapping[str, Matrix], pair: Pair, share: float) -> ProductSum:
    a, b = as_matrices(apart, pair)
    return error.plus(share * b, a)


def _of_pair(error: ProductSum, received: tuple[Matrix, Matrix], mean: tuple[Matrix, Matrix]) -> _Sums:
    """Return the squared norms of a pair's error and mean product update, and the effective rank of the latter.

    With E the error, sum_k p_k (B_k A_k - B A) = (B + dB-)(A + dA-) - B A + E = dB- (A + dA-) + B dA- + E: nothing
    large is subtracted.
    """
    (a, b), (da, db) = received, mean
    energies = error.plus(db, a + da).plus(b, da).energies()
    ranks = (effective_rank(energies),) if energies.any() else ()
    return _Sums(error=error.norm() ** 2, change=float(energies.sum()), ranks=ranks)


def _added(left: _Sums, right: _Sums) -> _Sums:
    return _Sums(
        left.units + right.units,
        left.mean + right.mean,
        _by_site(left.products, right.products),
        _by_site(left.distances, right.distances),
        left.error + right.error,
        left.change + right.change,
        left.ranks + right.ranks,
    )


def _by_site(left: Mapping[str, float], right: Mapping[str, float]) -> dict[str, float]:
    return {site: left.get(site, 0.0) + right.get(site, 0.0) for site in {**left, **right}}


def _figures(whole: _Whole, sums: _Sums, *, has_pairs: bool) -> Diagnostics:
    length = sqrt(sums.mean)
    moved = [site for site, each in whole.norms.items() if each]
    cosines = {site: _cosine(sums.products[site], each * length) for site, each in whole.norms.items()}
    found = Diagnostics(
        aggregation_error=sqrt(sums.error / sums.change) if sums.change else None,
        effective_rank=float(np.mean(sums.ranks)) if sums.ranks else None,
        drift=sum(p * sqrt(sums.distances[site]) for site, p in whole.shares.items()) / length if length else None,
        pairwise_cosine=_cosine(sums.units - len(moved), len(moved) * (len(moved) - 1)),
        cosines=cosines,
        reasons={},
    )
    return replace(found, reasons=_reasons(found, has_pairs=has_pairs))


def _cosine(product: float, lengths: float) -> float | None:
    return min(1.0, max(-1.0, product / lengths)) if lengths else None


def _reasons(found: Diagnostics, *, has_pairs: bool) -> dict[str, str]:
    no_product = "no site changed the product of a LoRA pair" if has_pairs else "no LoRA pair is shared"
    cosine = None if None in found.cosines.values() else 0.0
    texts = {
        "aggregation_error": (found.aggregation_error, no_product),
        "effective_rank": (found.effective_rank, no_product),
        "drift": (found.drift, "the mean update is zero"),
        "pairwise_cosine": (found.pairwise_cosine, "fewer than two sites sent an update other than zero"),
        "cosines": (cosine, "the update of a site, or the mean update, is zero"),
    }
    return {name: text for name, (value, text) in texts.items() if value is None}
