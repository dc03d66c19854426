"""The k largest with memory: its numbers by hand, its contraction, and what is no payload of it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.compressing import restored
from common.compression.top_k import TopK, largest
from common.errors import NotFiniteError, SchemaError
from common.state import AdapterSchema

SEEDS = st.integers(0, 2**32 - 1)
RNG = np.random.default_rng(0)


def test_two_rounds_by_hand() -> None:
    """k = round(0.4 * 5) = 2 over both tensors. u = (1, -4 | 3, .5, 2): -4 and 3 leave, (1, 0 | 0, .5, 2) stays.
    Then u = (1, 0 | 0, 0, .5): v = (2, 0 | 0, .5, 2.5), of which 2 and 2.5 leave."""
    compression = TopK(density=0.4)
    first = {"a": np.float32([1, -4]), "b": np.float32([[3, 0.5, 2]])}
    asked = AdapterSchema.of(first)
    payload, left = compression.compress(first, {}, RNG)
    assert (payload["top-k.indices"].tolist(), payload["top-k.values"].tolist()) == ([1, 2], [-4.0, 3.0])
    assert {name: array.tolist() for name, array in left.items()} == {"a": [1.0, 0.0], "b": [[0.0, 0.5, 2.0]]}
    second = {"a": np.float32([1, 0]), "b": np.float32([[0, 0, 0.5]])}
    payload, left = compression.compress(second, left, RNG)
    found = restored(payload, asked, compression)
    assert {name: array.tolist() for name, array in found.items()} == {"a": [2.0, 0.0], "b": [[0.0, 0.0, 2.5]]}
    assert {name: array.tolist() for name, array in left.items()} == {"a": [0.0, 0.0], "b": [[0.0, 0.5, 0.0]]}


@given(seed=SEEDS)
def test_density_1_is_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    update = {"a": rng.normal(size=(3, 4)).astype(np.float32), "b": rng.normal(size=5).astype(np.float32)}
    payload, left = TopK(density=1.0).compress(update, {}, rng)
    found = restored(payload, AdapterSchema.of(update), TopK(density=1.0))
    assert all(found[name].tobytes() == array.tobytes() for name, array in update.items())
    assert not any(array.any() for array in left.values())


@given(seed=SEEDS, size=st.integers(1, 60), density=st.floats(0.01, 1))
def test_what_is_left_has_at_most_its_share_of_the_square(seed: int, size: int, density: float) -> None:
    """||v - q||^2 <= (1 - k / N) ||v||^2, since the k largest have at least the mean square of all."""
    rng, compression = np.random.default_rng(seed), TopK(density=density)
    update = {"a": rng.normal(size=size).astype(np.float32)}
    _, left = compression.compress(update, {}, rng)
    squares, kept = np.sum(update["a"].astype(np.float64) ** 2), compression.kept(size)
    assert np.sum(left["a"] ** 2) <= (1 - kept / size) * squares * (1 + 1e-9) + 1e-12


@given(seed=SEEDS, size=st.integers(1, 40))
def test_the_largest_are_those_of_a_stable_sort(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    values, count = rng.integers(-3, 4, size=size).astype(np.float64), int(rng.integers(1, size + 1))
    wanted = np.sort(np.argsort(-np.abs(values), kind="stable")[:count])
    np.testing.assert_array_equal(largest(values, count), wanted)


def test_a_tensor_that_rests_keeps_what_it_has_left_out() -> None:
    compression = TopK(density=0.5)
    a, b = np.float32([1, 2]), np.float32([3, 4])
    _, left = compression.compress({"a": a}, {}, RNG)
    _, both = compression.compress({"b": b}, left, RNG)
    assert {name: array.tolist() for name, array in both.items()} == {"a": [1.0, 0.0], "b": [3.0, 0.0]}
    payload, _ = compression.compress({"a": a}, both, RNG)
    assert payload["top-k.values"].tolist() == [2.0]  # 1 + 1, the first of two that are equal
    assert payload["top-k.indices"].tolist() == [0]


def test_a_rank_that_shrinks_takes_what_is_left_of_its_error() -> None:
    compression = TopK(density=0.01)
    _, left = compression.compress({"a": np.float32([[1, 2], [3, 4]])}, {}, RNG)
    payload, left = compression.compress({"a": np.float32([[0, 0]])}, left, RNG)
    assert payload["top-k.values"].tolist() == [2.0]
    assert left["a"].tolist() == [[1.0, 0.0]]
    _, left = compression.compress({"a": np.float32([[0, 0], [5, 0]])}, left, RNG)
    assert left["a"].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_rounding_to_float32_is_remembered_too() -> None:
    """v = 1 + 2^-30 is 1 in float32."""
    _, left = TopK(density=1.0).compress({"a": np.float32([1])}, {"a": np.array([2.0**-30])}, RNG)
    assert left["a"].tolist() == [2.0**-30]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_compressed(value: float) -> None:
    with pytest.raises(NotFiniteError):
        TopK().compress({"a": np.float32([1, value])}, {}, RNG)
    with pytest.raises(NotFiniteError):
        TopK().compress({"a": np.float32([1, 3e38])}, {"a": np.array([0.0, 1e38])}, RNG)


def test_bytes_are_eight_for_each_number_that_leaves() -> None:
    asked = AdapterSchema.of({"a": np.zeros((30, 30), np.float32), "b": np.zeros(100, np.float32)})
    assert TopK(density=0.05).wire_schema(asked).size_bytes == 8 * 50
    assert TopK(density=1.0).wire_schema(asked).size_bytes == 2 * asked.size_bytes
    assert TopK(density=1e-9).wire_schema(asked).size_bytes == 8


UPDATE = {"a": np.float32([[1, 2, 3], [4, 5, 6]])}
UINT = np.uint32
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "an index twice": ({"top-k.indices": UINT([1, 1, 2])}, "rising order"),
    "falling": ({"top-k.indices": UINT([2, 1, 0])}, "rising order"),
    "beyond the last": ({"top-k.indices": UINT([0, 1, 6])}, "below 6"),
    "as far as it goes": ({"top-k.indices": UINT([0, 1, 2**32 - 1])}, "below 6"),
    "signed": ({"top-k.indices": np.int32([0, 1, -1])}, "int32"),
    "of 64 bits": ({"top-k.indices": np.uint64([0, 1, 2])}, "uint64"),
    "more": ({"top-k.indices": UINT([0, 1, 2, 3])}, r"uint32\[4\]"),
    "fewer": ({"top-k.indices": UINT([0, 1]), "top-k.values": np.ones(2, np.float32)}, r"\[2\]"),
    "a value is NaN": ({"top-k.values": np.float32([1, np.nan, 1])}, "not finite"),
    "values are float64": ({"top-k.values": np.ones(3)}, "float64"),
    "a tensor more": ({"a": UPDATE["a"]}, "does not name"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_refused(name: str) -> None:
    changes, reason = HOSTILE[name]
    compression = TopK(density=0.5)
    payload, _ = compression.compress(UPDATE, {}, RNG)
    with pytest.raises(SchemaError, match=reason):
        restored({**payload, **changes}, AdapterSchema.of(UPDATE), compression)


def test_only_float32_of_countable_size_is_compressed() -> None:
    with pytest.raises(SchemaError, match="int64"):
        TopK().wire_schema(AdapterSchema.of({"n": np.zeros(3, np.int64)}))
    many = np.broadcast_to(np.float32(0), (2**17, 2**16))
    with pytest.raises(SchemaError, match="counts to"):
        TopK().wire_schema(AdapterSchema.of({"n": many}))
