import numpy as np
import pytest

from common.carried import carried_pair
from common.lora_pairs import Pair
from server.aggregation import ClientUpdate
from server.trained_pairs import Combined, Layer, combined, layers, trained

Q = Pair("q")
STATE = {Q.a: np.array([[1.0, 2], [3, 4]]), Q.b: np.array([[1.0, 2], [3, 4], [5, 6]]), "head.bias": np.zeros(1)}


@pytest.mark.parametrize("sent", [(Q.a, Q.b), (Q.a,), (Q.b,)])
def test_a_site_has_what_it_received_of_its_rank_and_its_update(sent) -> None:
    update = {
        name: array for name, array in {Q.a: np.full((1, 2), 10), Q.b: np.full((3, 1), 20)}.items() if name in sent
    }
    b, a = trained(Q, update, b=STATE[Q.b], a=STATE[Q.a])
    assert a.tolist() == [[11, 12] if Q.a in sent else [1, 2]]
    assert b.ravel().tolist() == ([21, 23, 25] if Q.b in sent else [1, 3, 5])


def test_shares_are_of_those_who_sent_the_layer() -> None:
    pair = {Q.a: np.zeros((2, 2)), Q.b: np.zeros((3, 2))}
    updates = [ClientUpdate("x", pair, 1, 1.0), ClientUpdate("y", pair, 1, 3.0), ClientUpdate("z", {}, 1, 5.0)]
    (layer,) = layers(updates, STATE)
    assert [(each.site, each.share) for each in layer.sites] == [("x", 0.25), ("y", 0.75)]


def test_what_is_carried_is_no_layer_of_the_adapter() -> None:
    beside = carried_pair(Q)
    state = {**STATE, beside.a: np.ones((1, 2), np.float32), beside.b: np.ones((3, 1), np.float32)}
    seen: list[Layer] = []

    def rule(layer: Layer) -> Combined:
        seen.append(layer)
        return Combined(layer.b, layer.a, (layer.b, layer.a))

    update = {name: np.ones_like(STATE[name]) for name in STATE}
    mean = combined([ClientUpdate("x", update, 1, 1.0)], state, rule)
    assert [layer.pair for layer in seen] == [Q]
    assert set(mean.update) == set(STATE)
    assert set(mean.extra) == {beside.a, beside.b}
    assert mean.update["head.bias"].tolist() == [1.0]
    assert not mean.update[Q.a].any()


def test_no_updates_are_an_error() -> None:
    with pytest.raises(ValueError, match="no updates"):
        combined([], STATE, lambda layer: Combined(layer.b, layer.a))
