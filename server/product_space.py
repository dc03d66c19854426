"""Robust rules measure here: a site's change of a LoRA pair is that of the product, which no change of gauge can hide.

A site may send (B G, G^-1 A) for any invertible G in place of (B, A): the same model in factors as far away as it
likes. So the change of layer l at site k is taken in product space, in factors and without a difference of products:

    B_k A_k - B A = [dB_k, B] [A_k; dA_k],    dB_k = B_k - B, dA_k = A_k - A

and is then written as U_k V_k with orthogonal columns and rows of equal norms (an SVD of the small core). The inner
products of all layers, and of all other tensors as they are, make the Gram matrix

    G_ij = sum_l tr((U_i^T U_j) (V_j V_i^T)) + sum_t <d_i^t, d_j^t>                          (K, K)

A rule gives coefficients q_k from G alone, and the next pair is the best one of the study's rank r for
B A + sum_k q_k U_k V_k. What was measured is what is averaged: a site cannot send factors whose huge parts cancel in
the measure and not in the mean. Layers are taken one at a time, in float64; O(K^2 r^2 (m + n)) flops each. A pair
counts without its scale s = alpha / r, which no strategy knows: the same s everywhere, as in a study, weighs pairs
against the head and nothing else.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.lora_pairs import Matrix, Pair, as_matrices, pairs_of
from common.state import AdapterState
from server.aggregation import ClientUpdate, Mean
from server.low_rank import factored_svd, stacked, truncated

Factors = tuple[Matrix, Matrix]
Coefficients = NDArray[np.float64]
"""(K,): how much of each site's change the next adapter has."""


def gram(updates: Sequence[ClientUpdate], state: AdapterState) -> Matrix:
    """Return the inner products of all sites' changes from `state`, (K, K), LoRA pairs in product space.

    >>> state = {"q.lora_A.weight": np.ones((1, 3)), "q.lora_B.weight": np.zeros((2, 1))}
    >>> update = {"q.lora_A.weight": np.zeros((1, 3)), "q.lora_B.weight": np.ones((2, 1))}  # B A: 0 to 6 ones
    >>> np.round(gram([ClientUpdate("a", update, 1, 1.0)], state), 9).tolist()
    [[6.0]]
    """
    pairs, plain = _parts(updates, state)
    total = np.zeros((len(updates), len(updates)))
    for pair in pairs:
        total += inner_products([change(each.update, state, pair) for each in updates])
    for name in plain:
        rows = np.stack([each.update[name].astype(np.float64).reshape(-1) for each in updates])
        total += rows @ rows.T
    return total


def square_norms(updates: Sequence[ClientUpdate], state: AdapterState) -> Coefficients:
    """Return the diagonal of the Gram matrix, (K,), without the rest."""
    return np.array([gram([each], state)[0, 0] for each in updates])


def inner_products(changes: Sequence[Factors]) -> Matrix:
    """Return tr((U_i^T U_j) (V_j V_i^T)) = <U_i V_i, U_j V_j> of all products, (K, K)."""
    lefts, rights = [u for u, _ in changes], [v for _, v in changes]
    left, right = np.concatenate(lefts, axis=1), np.concatenate(rights, axis=0)
    terms = (left.T @ left) * (right @ right.T)
    starts = np.cumsum([0, *(u.shape[1] for u in lefts[:-1])])
    return np.asarray(np.add.reduceat(np.add.reduceat(terms, starts, axis=0), starts, axis=1), dtype=np.float64)


def square_distances(products: Matrix) -> Matrix:
    """Return |u_i - u_j|^2 = G_ii + G_jj - 2 G_ij of all pairs, (K, K), none below 0."""
    own = np.diagonal(products)
    found = own[:, None] + own[None, :] - 2 * products
    np.fill_diagonal(found, 0.0)
    return np.maximum(found, 0.0)


def change(update: AdapterState, state: AdapterState, pair: Pair) -> Factors:
    """Return U (m, q) and V (q, n), q <= 2 r, whose product is the site's change of B A; a factor not sent stays."""
    a, b = as_matrices(state, pair)
    sent = {name: update[name] if name in update else np.zeros_like(state[name]) for name in (pair.a, pair.b)}
    da, db = as_matrices(sent, pair)
    u, values, vt = factored_svd(np.concatenate([db, b], axis=1), np.concatenate([a + da, da], axis=0))
    roots = np.sqrt(values)
    return u * roots, roots[:, None] * vt


def combined(updates: Sequence[ClientUpdate], state: AdapterState, coefficients: Coefficients) -> Mean:
    """Return the update to the adapter whose change is sum_k q_k of the sites' changes, pairs in product space.

    Exact but for the rank: of all pairs of the study's rank the next one is nearest to B A + sum_k q_k U_k V_k (Eckart
    and Young 1936). Its A has orthonormal rows and its B all the rest, which is near the gauge that LoRA begins with
    (`quick`, without clipping: pooled AUROC of round 3 0.900, with the balanced split 0.792, FedAvg 0.867; one seed).
    A pair of which sites send one factor only stays as it is in the other, and is then exact by a plain sum.
    """
    pairs, plain = _parts(updates, state)
    made: dict[str, NDArray[np.float64]] = {}
    for pair in pairs:
        if all(name in updates[0].update for name in (pair.a, pair.b)):
            made |= _pair_update(updates, state, pair, coefficients)
        else:
            plain = (*plain, *(name for name in (pair.a, pair.b) if name in updates[0].update))
    for name in plain:
        made[name] = _sum([each.update[name] for each in updates], coefficients)
    return Mean({name: made[name] for name in sorted(made)}, {}, sum(each.weight for each in updates), len(updates))


def _pair_update(
    updates: Sequence[ClientUpdate], state: AdapterState, pair: Pair, coefficients: Coefficients
) -> dict[str, NDArray[np.float64]]:
    a, b = as_matrices(state, pair)
    changes = [change(each.update, state, pair) for each in updates]
    if not any(u.any() for u, _ in changes):
        return {}
    left, right = truncated(*stacked([(b, a), *changes], [1.0, *coefficients.tolist()]), a.shape[0], split="left")
    return {
        pair.a: (right - a).reshape(state[pair.a].shape),
        pair.b: (left - b).reshape(state[pair.b].shape),
    }


def _sum(arrays: Sequence[NDArray[np.generic]], coefficients: Coefficients) -> NDArray[np.float64]:
    total = np.zeros(arrays[0].shape)
    for array, coefficient in zip(arrays, coefficients, strict=True):
        total += coefficient * array.astype(np.float64)
    return total


def _parts(updates: Sequence[ClientUpdate], state: AdapterState) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Return the pairs of which a factor was sent, and the names of all other tensors that were."""
    sent = set(updates[0].update)
    pairs = tuple(pair for pair in pairs_of(state) if sent & {pair.a, pair.b})
    return pairs, tuple(sorted(sent - {name for pair in pairs for name in (pair.a, pair.b)}))
