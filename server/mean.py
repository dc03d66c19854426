"""The weighted mean of client updates, in float64 and in one pass."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from common.state import AdapterState
from server.aggregation import ClientUpdate, Mean

Sums = dict[str, NDArray[np.float64]]


def weighted_mean(updates: Iterable[ClientUpdate]) -> Mean:
    """Return sum_k w_k u_k / sum_k w_k for every tensor, over the sites that sent it.

    Only the running sums are held, so memory does not grow with the number of sites. The result depends on the order
    in its last bits: give the updates in the order of site names.

    Raises:
        ValueError: no updates.

    >>> a = ClientUpdate("a", {"x": np.float32([1, 1])}, examples=1, weight=1.0)
    >>> b = ClientUpdate("b", {"x": np.float32([5, 1])}, examples=3, weight=3.0)
    >>> weighted_mean([a, b]).update["x"].tolist()
    [4.0, 1.0]
    """
    sums: tuple[Sums, Sums] = {}, {}
    weights: tuple[dict[str, float], dict[str, float]] = {}, {}
    total, sites = 0.0, 0
    for client in updates:
        _add(sums[0], weights[0], client.update, client.weight)
        _add(sums[1], weights[1], client.extra, client.weight)
        total, sites = total + client.weight, sites + 1
        del client  # before the next is read
    if not sites:
        raise ValueError("no updates to average")
    return Mean(_divided(sums[0], weights[0]), _divided(sums[1], weights[1]), total, sites)


def _add(sums: Sums, weights: dict[str, float], state: AdapterState, weight: float) -> None:
    for name, array in state.items():
        term = array.astype(np.float64)
        term *= weight
        if name in sums:
            sums[name] += term
        else:
            sums[name] = term
        weights[name] = weights.get(name, 0.0) + weight


def _divided(sums: Sums, weights: Mapping[str, float]) -> Sums:
    """Divide the sums where they lie: beside them there is nothing of their size."""
    for name, total in sums.items():
        total /= weights[name]
    return {name: sums[name] for name in sorted(sums)}


def moved(state: AdapterState, update: Mapping[str, NDArray[np.float64]]) -> AdapterState:
    """Return state + update, added in float64 and rounded once to the dtype of `state`.

    Tensors without an update keep their bytes.
    """
    return {name: array if name not in update else _sum(array, update[name]) for name, array in state.items()}


def _sum(array: NDArray[np.generic], step: NDArray[np.float64]) -> NDArray[np.generic]:
    return np.asarray((array.astype(np.float64) + step).astype(array.dtype))
