"""Two versions side by side: metrics, keys of their studies, and how far their tensors are apart. Pure functions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any  # JSON values

import numpy as np

from common.lora_pairs import as_matrices, pairs_of
from common.metrics.types import Metric
from common.state import AdapterState

ABSENT = "(absent)"
"""In place of the value of a key that a study lacks."""


@dataclass(frozen=True)
class KeyChange:
    """A key of two studies with different values, as JSON; ABSENT where one lacks it."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Distance:
    """Euclidean norm of the difference of two tensors, or of what they do to a layer; relative to the first's norm.

    relative: None where the first is 0.
    """

    name: str
    norm: float
    relative: float | None


@dataclass(frozen=True)
class TensorChange:
    """How far two adapters are apart: all tensors that both have in one shape, layer by layer the largest first.

    layers: of a LoRA pair the distance of the products B A, since the same update has many factors; else of a tensor.
    only_first, only_second: names that the other lacks or has in another shape.
    """

    whole: Distance
    layers: tuple[Distance, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


@dataclass(frozen=True)
class MetricChange:
    """One metric of two versions; `difference` is the second minus the first, None where one has no value."""

    part: str
    name: str
    first: Metric | None
    second: Metric | None
    difference: float | None


def study_changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[KeyChange]:
    """Return the keys of two studies that differ, dotted, in order.

    >>> study_changes({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}})
    [KeyChange(key='a.c', first=2, second=3)]
    """
    flat = dict(_flat(first)), dict(_flat(second))
    keys = sorted(set(flat[0]) | set(flat[1]))
    pairs = ((key, flat[0].get(key, ABSENT), flat[1].get(key, ABSENT)) for key in keys)
    return [KeyChange(key, one, other) for key, one, other in pairs if one != other]


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def metric_changes(part: str, first: Mapping[str, Metric], second: Mapping[str, Metric]) -> list[MetricChange]:
    """Return each metric that one of two versions has, in the order of the first's."""
    names = [*first, *(name for name in second if name not in first)]
    return [MetricChange(part, name, *_pair(first.get(name), second.get(name))) for name in names]


def _pair(first: Metric | None, second: Metric | None) -> tuple[Metric | None, Metric | None, float | None]:
    values = [None if each is None else each.value for each in (first, second)]
    difference = None if values[0] is None or values[1] is None else values[1] - values[0]
    return first, second, difference


def tensor_change(first: AdapterState, second: AdapterState) -> TensorChange:
    """Return how far two adapters are apart."""
    both = [name for name in sorted(set(first) & set(second)) if first[name].shape == second[name].shape]
    one, other = ({name: _float64(state[name]) for name in both} for state in (first, second))
    pairs = pairs_of(both)
    of_pairs = {name for pair in pairs for name in (pair.a, pair.b)}
    layers = [_product_distance(pair.layer, as_matrices(one, pair), as_matrices(other, pair)) for pair in pairs]
    layers += [_distance(name, [(one[name], other[name])]) for name in both if name not in of_pairs]
    return TensorChange(
        _distance("all", [(one[name], other[name]) for name in both]),
        tuple(sorted(layers, key=lambda each: (-each.norm, each.name))),
        tuple(sorted(set(first) - set(both))),
        tuple(sorted(set(second) - set(both))),
    )


def _float64(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(array, dtype=np.float64)


def _distance(name: str, pairs: list[tuple[Any, Any]]) -> Distance:
    norm = np.sqrt(sum(float(np.square(other - one).sum()) for one, other in pairs))
    return _relative(name, float(norm), float(np.sqrt(sum(float(np.square(one).sum()) for one, _ in pairs))))


def _product_distance(layer: str, first: tuple[Any, Any], second: tuple[Any, Any]) -> Distance:
    (a1, b1), (a2, b2) = first, second
    norm = product_norm(np.hstack([b2, -b1]), np.vstack([a2, a1]))
    return _relative(layer, norm, product_norm(b1, a1))


def product_norm(left: Any, right: Any) -> float:
    """Return the Frobenius norm of left @ right, (m, k) and (k, n), without the (m, n) matrix: k is small.

    With left = Q R and right' = P S, both with orthonormal columns, it is the norm of R S'.

    >>> round(product_norm(np.array([[3.0], [4.0]]), np.array([[0.0, 2.0]])), 6)
    10.0
    """
    r, s = (np.asarray(np.linalg.qr(each, mode="r")) for each in (left, right.T))
    return float(np.linalg.norm(r @ s.T))


def _relative(name: str, norm: float, of: float) -> Distance:
    return Distance(name, norm, norm / of if of > 0 else None)
