import numpy as np

from common.protocol import RoundPlan
from common.state import AdapterSchema
from server.aggregation import ClientUpdate
from server.aggregation.fedavg import FedAvg


def test_the_next_adapter_is_the_weighted_mean_of_the_clients_adapters() -> None:
    # McMahan et al. 2017, algorithm 1: w_{t+1} = sum_k n_k / n w_k, here with n = 1 and 3, in plain numpy.
    state = {"x": np.float32([1, 2])}
    trained = {"a": np.float32([2, 2]), "b": np.float32([5, 0])}
    updates = [ClientUpdate(s, {"x": trained[s] - state["x"]}, n, float(n)) for s, n in (("a", 1), ("b", 3))]
    made, memory = FedAvg().step(state, FedAvg().combine(updates, state), {})
    np.testing.assert_array_equal(made["x"], (1 * trained["a"] + 3 * trained["b"]) / 4)
    assert memory == {}


def test_every_site_trains_everything() -> None:
    assert FedAvg().plan(3, {}, "a", AdapterSchema(())) == RoundPlan()


def test_tensors_that_nobody_sent_keep_their_bytes() -> None:
    state = {"x": np.float32([1]), "y": np.float32([0.1])}
    made, _ = FedAvg().step(state, FedAvg().combine([ClientUpdate("a", {"x": np.float32([1])}, 1, 1.0)], state), {})
    assert made["y"] is state["y"]
    assert made["x"].tolist() == [2.0]
