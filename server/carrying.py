"""The next low-rank change that is carried beside an adapter: that of before and a round's, in as few ranks as it has.

FedEx-LoRA and FLoRA would add it to the base weights; see `common.carried` for why it is not.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from common.carried import carried_pair, split_carried
from common.lora_pairs import Pair, as_matrices
from common.state import AdapterState, Array
from server.low_rank import compressed, stacked
from server.trained_pairs import Product, own_pairs


def carried_after(
    state: AdapterState, added: Mapping[str, NDArray[np.float64]], *, rank: int | None
) -> dict[str, Array]:
    """Return all that is carried after a round that adds to it: float32, in the shapes of `common.carried`.

    state: the adapter with what it carries. added: matrices by the names of what is carried. rank: the most ranks that
    a layer may carry; None is as many as its matrix can have, and exact but for the rounding to float32.
    """
    carried = split_carried(state)[1]
    after = {name: array for name, array in carried.items() if name not in added}
    for pair in own_pairs(state):
        beside = carried_pair(pair)
        if beside.a in added:
            whole = _with_that_of_before(state, beside, (added[beside.b], added[beside.a]))
            after |= _as_tensors(state, pair, compressed(*whole, rank))
    return after


def _with_that_of_before(state: AdapterState, beside: Pair, added: Product) -> Product:
    if beside.a not in state:
        return added
    a, b = as_matrices(state, beside)
    return stacked([(b, a), added], [1.0, 1.0])


def _as_tensors(state: AdapterState, pair: Pair, found: Product) -> dict[str, Array]:
    b, a = found
    beside, rank = carried_pair(pair), a.shape[0]
    if not rank:
        return {}
    like_a, like_b = state[pair.a].shape, state[pair.b].shape
    return {
        beside.a: a.astype(np.float32).reshape(rank, *like_a[1:]),
        beside.b: b.astype(np.float32).reshape(like_b[0], rank, *like_b[2:]),
    }
