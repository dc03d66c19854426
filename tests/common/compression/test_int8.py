"""Stochastic rounding: its numbers by hand, its bounds, and what is no payload of it."""

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.compressing import restored
from common.compression.int8 import LEVELS, MAX_SCALE, Int8, by_row, quantised, scales_of
from common.errors import NotFiniteError, SchemaError
from common.state import AdapterSchema

SEEDS = st.integers(0, 2**32 - 1)
SCALES: list[Literal["row", "tensor"]] = ["row", "tensor"]


def sent(update: dict[str, np.ndarray], seed: int = 0, **options: Any) -> dict[str, np.ndarray]:
    payload, _ = Int8(**options).compress(update, {}, np.random.default_rng(seed))
    return payload


def test_whole_steps_come_back_as_they_were() -> None:
    """max |u| = 127 * 0.5, so that s = 0.5 and every number is a whole multiple of it."""
    update = {"a": np.float32([[63.5, -63.5, 1.0, 0.0], [0.5, 2.5, -7.0, 63.5]])}
    payload = sent(update)
    assert payload["a:scale"].tolist() == [0.5, 0.5]
    assert payload["a:int8"].tolist() == [[127, -127, 2, 0], [1, 5, -14, 127]]
    np.testing.assert_array_equal(restored(payload, AdapterSchema.of(update), Int8())["a"], update["a"])


def test_a_fraction_is_rounded_up_as_often_as_it_is_large() -> None:
    """u / s = 2.25: 2 or 3, one in four. 4 standard errors of 4e4 draws: 4 sqrt(.25 * .75 / 4e4) = 0.0087."""
    rows, scales = np.full((1, 40_000), 2.25), np.float32([1.0])
    numbers = quantised(rows, scales, np.random.default_rng(0))
    assert set(np.unique(numbers)) == {2, 3}
    assert abs(numbers.mean() - 2.25) < 0.0087
    below = quantised(-rows, scales, np.random.default_rng(0))
    assert set(np.unique(below)) == {-3, -2}
    assert abs(below.mean() + 2.25) < 0.0087


@given(seed=SEEDS, scale=st.sampled_from(SCALES), exponent=st.integers(-44, 37))
def test_the_error_of_a_number_is_less_than_a_step(seed: int, scale: Any, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    update = {"a": (rng.normal(size=(5, 3)) * 10.0**exponent).astype(np.float32)}
    payload = sent(update, seed, scale=scale)
    found = restored(payload, AdapterSchema.of(update), Int8(scale))["a"].astype(np.float64)
    steps = payload["a:scale"].astype(np.float64)
    assert (np.abs(found - update["a"]) < steps * (1 + 1e-5) + 1e-45).all()


@given(seed=SEEDS)
def test_a_scale_is_the_least_float32_that_holds_the_largest_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(20, 4)) * 10 ** rng.uniform(-40, 30, size=(20, 1))).astype(np.float32).astype(np.float64)
    scales, largest = scales_of(rows).astype(np.float64), np.abs(rows).max(axis=1)
    assert (scales * LEVELS >= largest).all()
    assert (np.nextafter(scales.astype(np.float32), np.float32(0)).astype(np.float64) * LEVELS < largest).all()


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((8, 64), 8), ((48, 8), 8), ((5, 5), 5), ((7,), 1), ((), 1), ((1, 9), 1), ((9, 1), 1), ((4, 3, 2, 2), 4)],
)
def test_each_rank_one_part_of_a_pair_has_its_own_scale(shape: tuple[int, ...], rows: int) -> None:
    """lora_A (rank, in) by rows, lora_B (out, rank) by columns: one that is a thousand times the others spoils none."""
    asked = AdapterSchema.of({"a": np.zeros(shape, np.float32)})
    assert {s.name: s.shape for s in Int8().wire_schema(asked).tensors} == {"a:int8": shape, "a:scale": (rows,)}
    assert {s.shape for s in Int8("tensor").wire_schema(asked).tensors} == {shape, (1,)}
    assert Int8().wire_schema(asked).size_bytes == asked.size + 4 * rows


def test_rows_of_b_are_its_columns() -> None:
    b = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.testing.assert_array_equal(by_row(b, 2), b.T)
    payload = sent({"b": b * np.float32([1, 1000])})
    np.testing.assert_allclose(payload["b:scale"], [10 / 127, 11000 / 127], rtol=1e-6)


def test_names_that_follow_on_each_other_stay_in_order() -> None:
    """'a.b:int8' is before 'a:int8', though 'a' is before 'a.b'."""
    update = {"a": np.ones(2, np.float32), "a.b": np.ones(2, np.float32)}
    assert Int8().wire_schema(AdapterSchema.of(update)) == AdapterSchema.of(sent(update))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_compressed(value: float) -> None:
    with pytest.raises(NotFiniteError):
        sent({"a": np.float32([1, value])})


UPDATE = {"a": np.float32([[1, 2, 3], [4, 5, 6]])}
HOSTILE: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "scale is NaN": ({"a:scale": np.float32([1, np.nan])}, "not finite"),
    "scale is infinite": ({"a:scale": np.float32([1, np.inf])}, "not finite"),
    "scale is negative": ({"a:scale": np.float32([1, -1])}, "not between 0"),
    "scale overflows": ({"a:scale": np.float32([1, 3e38])}, "not between 0"),
    "scale is float64": ({"a:scale": np.ones(2)}, "float64"),
    "more scales": ({"a:scale": np.ones(3, np.float32)}, r"float32\[3\]"),
    "numbers are float32": ({"a:int8": UPDATE["a"]}, "float32"),
    "numbers are uint8": ({"a:int8": np.ones((2, 3), np.uint8)}, "uint8"),
    "numbers of another shape": ({"a:int8": np.ones((3, 2), np.int8)}, r"int8\[3, 2\]"),
    "a number beyond the last step": ({"a:int8": np.full((2, 3), -128, np.int8)}, "under -127"),
    "a tensor more": ({"b:int8": np.ones(1, np.int8)}, "does not name"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_payload_is_refused(name: str) -> None:
    changes, reason = HOSTILE[name]
    with pytest.raises(SchemaError, match=reason):
        restored({**sent(UPDATE), **changes}, AdapterSchema.of(UPDATE), Int8())


def test_the_largest_scale_still_makes_a_finite_number() -> None:
    below = np.nextafter(np.float32(MAX_SCALE), np.float32(0))
    payload = sent(UPDATE) | {"a:scale": np.float32([below, 0])}
    assert np.isfinite(restored(payload, AdapterSchema.of(UPDATE), Int8())["a"]).all()


def test_only_float32_is_compressed() -> None:
    with pytest.raises(SchemaError, match="int64"):
        Int8().wire_schema(AdapterSchema.of({"n": np.zeros(3, np.int64)}))
