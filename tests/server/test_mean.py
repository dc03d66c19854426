import tracemalloc
from collections.abc import Iterator
from weakref import finalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.aggregation import ClientUpdate
from server.mean import moved, weighted_mean


def client(value: float, weight: float, site: str = "s", size: int = 1) -> ClientUpdate:
    return ClientUpdate(site, {"x": np.full(size, value, np.float32)}, examples=1, weight=weight)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3, width=32), st.integers(1, 10**7)), min_size=1, max_size=20))
def test_the_mean_is_numpys_weighted_average(pairs: list[tuple[float, int]]) -> None:
    mean = weighted_mean(client(value, float(weight)) for value, weight in pairs)
    values, weights = zip(*pairs, strict=True)
    np.testing.assert_allclose(mean.update["x"], np.average(values, weights=weights), rtol=1e-12, atol=1e-9)
    assert (mean.weight, mean.sites) == (sum(weights), len(pairs))


@given(st.floats(-(2.0**90), 2.0**90, width=32), st.lists(st.integers(1, 10**7), min_size=1, max_size=30))
def test_equal_updates_give_that_update_to_the_bit(value: float, weights: list[int]) -> None:
    mean = weighted_mean(client(value, float(weight)) for weight in weights)
    assert mean.update["x"].astype(np.float32).tolist() == [np.float32(value)]


def test_each_tensor_is_averaged_over_the_sites_that_sent_it() -> None:
    a = ClientUpdate("a", {"x": np.float32([2])}, 1, 1.0, extra={"c": np.float32([1])})
    b = ClientUpdate("b", {"x": np.float32([4]), "y": np.float32([6])}, 1, 3.0)
    mean = weighted_mean([a, b])
    assert mean.update["x"].tolist() == [3.5]
    assert mean.update["y"].tolist() == [6.0]
    assert mean.extra["c"].tolist() == [1.0]


def test_no_updates_are_an_error() -> None:
    with pytest.raises(ValueError, match="no updates"):
        weighted_mean([])


def test_memory_does_not_grow_with_the_number_of_sites() -> None:
    def updates(count: int) -> Iterator[ClientUpdate]:
        return (client(i, 1.0, size=50_000) for i in range(count))

    peaks = []
    for count in (10, 300):
        tracemalloc.start()
        weighted_mean(updates(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_beside_the_sums_there_is_one_large_update() -> None:
    names, size = [f"t{i}" for i in range(20)], 250_000
    update_bytes = len(names) * size * 4

    def updates() -> Iterator[ClientUpdate]:
        for site in range(6):
            yield ClientUpdate(str(site), {name: np.full(size, site, np.float32) for name in names}, 1, 1.0)

    tracemalloc.start()
    weighted_mean(updates())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.3 * update_bytes  # 2 of float64 sums, 1 of the update, and pieces


def test_small_updates_wait_for_each_other_a_few_at_most() -> None:
    read: list[int] = []

    def updates() -> Iterator[ClientUpdate]:
        for site in range(30):
            update = {"x": np.full(50_000, site, np.float32)}
            finalize(update["x"], read.remove, site)
            read.append(site)
            most.append(len(read))
            yield ClientUpdate(str(site), update, 1, 1.0)

    most: list[int] = []
    assert weighted_mean(updates()).update["x"][0] == 14.5
    assert max(most) <= 9


@given(st.integers(1, 20), st.integers(1, 20_000), st.integers(0, 2**32 - 1))
def test_the_mean_of_many_values_is_numpys(sites: int, size: int, seed: int) -> None:
    """Over and under the size of a piece, and sites that lack a tensor."""
    rng = np.random.default_rng(seed)
    arrays, weights = rng.normal(size=(sites, size)).astype(np.float32), rng.uniform(0.1, 9, size=sites)
    senders = [k for k in range(sites) if k % 3 != 1]
    updates = [
        ClientUpdate(str(k), {"x": arrays[k], **({"y": arrays[k].reshape(1, -1)} if k in senders else {})}, 1, float(w))
        for k, w in enumerate(weights)
    ]
    made = weighted_mean(updates).update
    np.testing.assert_allclose(made["x"], np.average(arrays.astype(np.float64), axis=0, weights=weights), atol=1e-12)
    wanted = np.average(arrays[senders].astype(np.float64), axis=0, weights=weights[senders])
    np.testing.assert_allclose(made["y"][0], wanted, atol=1e-12)


def test_a_step_rounds_once() -> None:
    # Float32 steps by 2 at 2**24. The sum, a little over 2**24 + 1, rounds up; with the update rounded to 1.0 first it
    # would be a tie and round down.
    state = {"x": np.float32([2**24])}
    assert moved(state, {"x": np.float64([1 + 1e-8])})["x"].tolist() == [2**24 + 2]
    assert moved(state, {})["x"] is state["x"]
