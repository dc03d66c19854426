import numpy as np

from common.carried import carried_pair
from common.lora_pairs import Pair
from server.aggregation import ClientUpdate
from server.aggregation.fedex_lora import FedExLoRA, mean_factors

Q = Pair("q")


def test_a_number_by_hand() -> None:
    # A_k = 1, 3 and B_k = 2, 6, equal weights: mean factors 2 and 4, product 8; mean product (2 + 18) / 2 = 10.
    state = {Q.a: np.zeros((1, 1), np.float32), Q.b: np.zeros((1, 1), np.float32)}
    updates = [
        ClientUpdate(site, {Q.a: np.float32([[a]]), Q.b: np.float32([[b]])}, 1, 1.0)
        for site, a, b in (("x", 1, 2), ("y", 3, 6))
    ]
    made, memory = FedExLoRA().step(state, FedExLoRA().combine(updates, state), {})
    beside = carried_pair(Q)
    assert (made[Q.a].item(), made[Q.b].item()) == (2, 4)
    np.testing.assert_allclose(made[beside.b] @ made[beside.a], [[2.0]], rtol=1e-6)
    assert made[beside.a].dtype == np.float32
    assert memory == {}


def test_equal_factors_have_themselves_as_their_mean_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    pair = rng.normal(size=(5, 2)), rng.normal(size=(2, 3))
    for found, wanted in zip(mean_factors([pair] * 3, [0.1, 0.2, 0.7]), pair, strict=True):
        np.testing.assert_array_equal(found, wanted)
