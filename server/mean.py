"""The weighted mean of client updates, in float64 and in one pass."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.state import AdapterState
from server.aggregation import ClientUpdate, Mean

Vector = NDArray[np.float64]
_TOGETHER: Final = 8
"""Most sites that are added in one go, so that the sums go through the memory once for all of them."""
_TOGETHER_BYTES: Final = 32 * 2**20
"""Most bytes of updates that wait for it; larger ones are added one by one."""
_PIECE: Final = 8192
"""Values of a tensor that are taken together: the sites' in float64 stay in the processor's cache."""


@dataclass(frozen=True)
class Totals:
    """By tensor, sum_k w_k u_k and sum_k w_k over the sites that sent it; both grow while updates are read."""

    sums: dict[str, Vector] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Added:
    """The totals of all updates read, the sum of their weights, and their number."""

    update: Totals
    extra: Totals
    weight: float
    sites: int


def weighted_mean(updates: Iterable[ClientUpdate]) -> Mean:
    """Return sum_k w_k u_k / sum_k w_k for every tensor, over the sites that sent it.

    Beside the running sums a few small updates are held, or one, so memory does not grow with the number of sites. The
    result depends on the order in its last bits: give the updates in the order of site names.

    Raises:
        ValueError: no updates.

    >>> a = ClientUpdate("a", {"x": np.float32([1, 1])}, examples=1, weight=1.0)
    >>> b = ClientUpdate("b", {"x": np.float32([5, 1])}, examples=3, weight=3.0)
    >>> weighted_mean([a, b]).update["x"].tolist()
    [4.0, 1.0]
    """
    found = _added_up(updates)
    return Mean(_divided(found.update), _divided(found.extra), found.weight, found.sites)


def weighted_sum(updates: Iterable[ClientUpdate], *, divisor: float) -> Mean:
    """Return sum_k w_k u_k / divisor for every tensor: as `weighted_mean`, but that nobody's weight is in the divisor.

    >>> a = ClientUpdate("a", {"x": np.float32([1, 1])}, examples=1, weight=1.0)
    >>> weighted_sum([a], divisor=4.0).update["x"].tolist()
    [0.25, 0.25]
    """
    found = _added_up(updates)
    update, extra = (Totals(each.sums, dict.fromkeys(each.sums, divisor)) for each in (found.update, found.extra))
    return Mean(_divided(update), _divided(extra), found.weight, found.sites)


def _added_up(updates: Iterable[ClientUpdate]) -> Added:
    found, total, sites = (Totals(), Totals()), 0.0, 0
    for block in _blocks(updates):
        shares = [client.weight for client in block]
        _add(found[0], [client.update for client in block], shares)
        _add(found[1], [client.extra for client in block], shares)
        total, sites = sum(shares, start=total), sites + len(block)
        block.clear()  # before the next is read
    if not sites:
        raise ValueError("no updates to average")
    return Added(*found, total, sites)


def _blocks(updates: Iterable[ClientUpdate]) -> Iterator[list[ClientUpdate]]:
    """Yield the updates in lists of a few, of one where they are large; the receiver empties each."""
    block: list[ClientUpdate] = []
    for client in updates:
        size = sum(array.nbytes for state in (client.update, client.extra) for array in state.values())
        block.append(client)
        del client  # the block alone holds it
        if len(block) == _TOGETHER or (len(block) + 1) * size > _TOGETHER_BYTES:
            yield block
            block = []
    if block:
        yield block


def _add(totals: Totals, states: Sequence[AdapterState], weights: Sequence[float]) -> None:
    scratch = np.empty((len(states), _PIECE))
    for name in dict.fromkeys(name for state in states for name in state):
        senders = [k for k, state in enumerate(states) if name in state]
        arrays, shares = [states[k][name] for k in senders], np.array([weights[k] for k in senders])
        if name not in totals.sums:
            totals.sums[name] = np.zeros(arrays[0].shape)
        _add_weighted(totals.sums[name].reshape(-1), [array.reshape(-1) for array in arrays], shares, scratch)
        totals.weights[name] = sum(shares.tolist(), start=totals.weights.get(name, 0.0))


def _add_weighted(total: Vector, arrays: Sequence[NDArray[np.generic]], weights: Vector, scratch: Vector) -> None:
    """Add sum_k w_k a_k to `total` in place, piece by piece; scratch: at least (K, _PIECE)."""
    for start in range(0, total.size, _PIECE):
        piece = total[start : start + _PIECE]
        rows = scratch[: len(arrays), : piece.size]
        for row, array in zip(rows, arrays, strict=True):
            row[...] = array[start : start + _PIECE]
        piece += weights @ rows


def _divided(totals: Totals) -> dict[str, Vector]:
    """Divide the sums where they lie: beside them there is nothing of their size."""
    for name, total in totals.sums.items():
        total /= totals.weights[name]
    return {name: totals.sums[name] for name in sorted(totals.sums)}


def moved(state: AdapterState, update: Mapping[str, NDArray[np.float64]]) -> AdapterState:
    """Return state + update, added in float64 and rounded once to the dtype of `state`.

    Tensors without an update keep their bytes.
    """
    return {name: array if name not in update else _sum(array, update[name]) for name, array in state.items()}


def _sum(array: NDArray[np.generic], step: NDArray[np.float64]) -> NDArray[np.generic]:
    return np.asarray((array.astype(np.float64) + step).astype(array.dtype))
