"""What is carried after a round: a sum, in the fewest ranks, in the shapes of the layer."""

import numpy as np
import pytest

from common.carried import carried_pair, check_adapter, split_carried
from common.lora_pairs import Pair, as_matrices
from common.state import AdapterSchema
from server.carrying import carried_after

Q, V = Pair("q"), Pair("v")


def state_with(rng: np.random.Generator, rank: int):
    """A convolution and a linear layer; the first carries `rank` ranks."""
    own = {Q.a: (2, 4, 3, 3), Q.b: (5, 2, 1, 1), V.a: (2, 4), V.b: (5, 2), "head.bias": (3,)}
    beside = {carried_pair(Q).a: (rank, 4, 3, 3), carried_pair(Q).b: (5, rank, 1, 1)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in {**own, **beside}.items()}


@pytest.mark.parametrize(("rank", "ranks"), [(None, 5), (3, 3)])
def test_a_sum_of_both_in_the_fewest_ranks(rank, ranks) -> None:
    rng = np.random.default_rng(0)
    state = state_with(rng, 4)
    beside = carried_pair(Q)
    added = {beside.b: rng.normal(size=(5, 3)), beside.a: rng.normal(size=(3, 36))}
    after = carried_after(state, added, rank=rank)
    a, b = as_matrices(state, beside)
    wanted = b @ a + added[beside.b] @ added[beside.a]
    found_a, found_b = as_matrices(after, beside)
    lost = np.linalg.svd(wanted, compute_uv=False)[ranks:]
    assert np.linalg.norm(found_b @ found_a - wanted) == pytest.approx(np.linalg.norm(lost), abs=1e-5)
    assert after[beside.a].shape == (ranks, 4, 3, 3)
    check_adapter({**split_carried(state)[0], **after}, AdapterSchema.of(split_carried(state)[0]))


def test_layers_without_an_addition_keep_their_bytes_and_a_sum_of_nothing_carries_nothing() -> None:
    state = state_with(np.random.default_rng(0), 2)
    beside, other = carried_pair(Q), carried_pair(V)
    nothing = {other.b: np.zeros((5, 0)), other.a: np.zeros((0, 4))}
    after = carried_after(state, nothing, rank=None)
    assert set(after) == {beside.a, beside.b}
    assert after[beside.a] is state[beside.a]
    a, b = as_matrices(state, beside)
    assert carried_after(state, {beside.b: -b, beside.a: a}, rank=None) == {}
