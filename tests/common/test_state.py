"""Properties of packing, checking and digests over random adapters."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import NotFiniteError, SchemaError
from common.state import AdapterSchema, Array, check_names, digest_state, is_finite, norm, subtract

DTYPES = ("float32", "float16", "float64", "int64")
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)
SPECS = st.dictionaries(st.text("abc.", min_size=1, max_size=4), st.tuples(SHAPES, st.sampled_from(DTYPES)), max_size=6)


@st.composite
def states(draw: st.DrawFn, *, smallest: int = 0) -> dict[str, Array]:
    """A state of distinct numbers, so that no two places can be confused."""
    specs = draw(SPECS.filter(lambda found: len(found) >= smallest))
    state, start = {}, 0
    for name, (shape, dtype) in specs.items():
        size = int(np.prod(shape))
        state[name] = np.arange(start, start + size).reshape(shape).astype(dtype)
        start += size
    return state


def reversed_order(state: Mapping[str, Array]) -> dict[str, Array]:
    return {name: state[name] for name in reversed(list(state))}


def same(left: Mapping[str, Array], right: Mapping[str, Array]) -> bool:
    return set(left) == set(right) and all(
        left[n].dtype == right[n].dtype and left[n].shape == right[n].shape and left[n].tobytes() == right[n].tobytes()
        for n in left
    )


@given(states())
def test_unpack_undoes_pack_in_whatever_order_the_state_came(state: dict[str, Array]) -> None:
    schema = AdapterSchema.of(state)
    flat = schema.pack(reversed_order(state))
    assert set(flat) == {a.dtype.name for a in state.values()}
    assert all(a.ndim == 1 for a in flat.values())
    found = schema.unpack(flat)
    assert tuple(found) == schema.names == tuple(sorted(state))
    assert same(found, state)


@given(states(smallest=1))
def test_tensors_of_one_dtype_lie_in_the_order_of_their_names(state: dict[str, Array]) -> None:
    flat = AdapterSchema.of(state).pack(state)
    for dtype, found in flat.items():
        parts = [state[n].ravel() for n in sorted(state) if state[n].dtype.name == dtype]
        assert found.tolist() == [value for part in parts for value in part.tolist()]


@given(states())
def test_a_schema_survives_json_and_forgets_the_order(state: dict[str, Array]) -> None:
    schema = AdapterSchema.of(state)
    again = AdapterSchema.from_json(schema.to_json())
    assert again == schema == AdapterSchema.of(reversed_order(state))
    assert again.digest == schema.digest
    schema.check(state)


@given(states(smallest=1), st.data())
def test_any_change_of_a_tensor_s_description_changes_the_digest(state: dict[str, Array], data: st.DataObject) -> None:
    schema = AdapterSchema.of(state)
    place = data.draw(st.integers(0, len(schema.tensors) - 1))
    one = schema.tensors[place]
    changes = [
        replace(one, name=one.name + "x"),
        replace(one, shape=(*one.shape, 1)),
        replace(one, dtype="int8"),
        replace(one, group="private"),
    ]
    digests = {AdapterSchema((*schema.tensors[:place], c, *schema.tensors[place + 1 :])).digest for c in changes}
    assert len(digests | {schema.digest}) == 5


@given(states(smallest=1), st.data())
def test_sizes_are_numpy_s(state: dict[str, Array], data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from(sorted(state))))
    part = AdapterSchema.of(state).only(names)
    assert set(part.names) == names
    assert part.size == sum(state[n].size for n in names)
    assert part.size_bytes == sum(state[n].nbytes for n in names)


STATE = {"a.w": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float32), "head.w": np.zeros((), np.float32)}
SCHEMA = AdapterSchema.of(STATE)
WRONG = {
    "missing": ({"a.w": STATE["a.w"], "b": STATE["b"]}, "lacks 'head.w'"),
    "extra": ({**STATE, "z": STATE["b"]}, "has 'z'"),
    "shape": ({**STATE, "b": np.zeros(5, np.float32)}, r"'b' is float32\[5\], the schema says float32\[4\]"),
    "same size, other shape": ({**STATE, "a.w": np.ones((3, 2), np.float32)}, "'a.w' is"),
    "dtype": ({**STATE, "b": np.zeros(4)}, "'b' is float64"),
    "nan": ({**STATE, "b": np.array([0, 0, 0, np.nan], np.float32)}, "'b' has values that are not finite"),
    "nan before another shape": (
        {**STATE, "a.w": STATE["a.w"] * np.float32("nan"), "b": STATE["b"][:3]},
        "'b' is float32",
    ),
    "inf": ({**STATE, "head.w": np.array(-np.inf, np.float32)}, "'head.w' has values that are not finite"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_state_that_is_not_the_schema_s_is_refused(kind: str) -> None:
    state, message = WRONG[kind]
    with pytest.raises(SchemaError, match=message) as caught:
        SCHEMA.check(state)
    assert isinstance(caught.value, NotFiniteError) == (kind in ("nan", "inf"))
    with pytest.raises(type(caught.value), match=message):
        SCHEMA.pack_checked(state)


FLAT = {"float32": np.arange(11, dtype=np.float32)}


@pytest.mark.parametrize(
    "flat",
    [
        {},
        {**FLAT, "float16": np.zeros(1, np.float16)},
        {"float32": FLAT["float32"][:-1]},
        {"float32": np.append(FLAT["float32"], np.float32(0))},
        {"float32": FLAT["float32"].astype(np.float64)},
        {"float32": FLAT["float32"].reshape(11, 1)},
    ],
)
def test_flat_arrays_of_another_kind_are_refused(flat: dict[str, Array]) -> None:
    assert same(SCHEMA.pack_checked(SCHEMA.unpack(FLAT)), FLAT)
    with pytest.raises(SchemaError):
        SCHEMA.unpack(flat)


def test_groups_divide_the_tensors_and_private_wins() -> None:
    schema = AdapterSchema.of(STATE, private=["head.*", "*.w"])
    assert schema.private.names == ("a.w", "head.w")
    assert schema.shared.names == ("b",)
    assert AdapterSchema.of(STATE, private=["HEAD.*", "b"][1:]).private.names == ("b",)


def test_a_pattern_that_matches_nothing_is_named_and_case_counts() -> None:
    with pytest.raises(SchemaError, match=r"'HEAD\.\*' matches none of 3"):
        AdapterSchema.of(STATE, private=["head.*", "HEAD.*"])


def test_only_takes_all_for_none_and_refuses_unknown_names() -> None:
    assert SCHEMA.only(None) is SCHEMA
    assert SCHEMA.only(()).tensors == ()
    with pytest.raises(SchemaError, match="'c'"):
        SCHEMA.only(["b", "c"])


def test_names_are_checked_before_anything_else() -> None:
    check_names(["a"], {"a": np.zeros(1)})
    with pytest.raises(SchemaError, match=r"lacks 'b' \(1 missing of 2\)"):
        check_names(["a", "b"], {"a": np.zeros(1), "c": np.zeros(1)})


@given(states(smallest=1), st.data())
def test_the_digest_sees_every_bit_and_no_order_or_layout(state: dict[str, Array], data: st.DataObject) -> None:
    digest = digest_state(state)
    assert digest == digest_state(reversed_order(state))
    assert digest == digest_state({n: np.asarray(a, order="F") for n, a in state.items()})
    filled = [name for name in state if state[name].size]
    if filled:
        name = data.draw(st.sampled_from(filled))
        content = bytearray(state[name].tobytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        changed = np.frombuffer(bytes(content), state[name].dtype).reshape(state[name].shape)
        assert digest != digest_state({**state, name: changed})


def test_the_digest_sees_the_sign_of_zero_and_where_a_tensor_ends() -> None:
    parts = [
        {"a": np.array([0.0, 1.0])},
        {"a": np.array([-0.0, 1.0])},
        {"a": np.array([[0.0, 1.0]])},
        {"a": np.array([0.0]), "b": np.array([1.0])},
        {"b": np.array([0.0, 1.0])},
        {},
    ]
    assert len({digest_state(part) for part in parts}) == len(parts)


def test_subtract_and_norm_are_numpy_s_and_keep_what_they_got() -> None:
    rng = np.random.default_rng(0)
    left = {"a": rng.normal(size=(2, 3)).astype(np.float32), "b": rng.normal(size=4).astype(np.float32)}
    right = {name: rng.normal(size=a.shape).astype(np.float32) for name, a in reversed(left.items())}
    before = digest_state(left), digest_state(right)
    difference = subtract(left, right)
    assert all(difference[n].dtype == np.float32 and (difference[n] == left[n] - right[n]).all() for n in left)
    flat = np.concatenate([difference[n].ravel() for n in difference]).astype(np.float64)
    assert norm(difference) == pytest.approx(np.linalg.norm(flat), rel=1e-14)
    assert (digest_state(left), digest_state(right)) == before


def test_the_norm_of_large_float32_numbers_is_finite_and_of_nothing_zero() -> None:
    # 1e30 squared does not fit in float32; sqrt(4) * 1e30 does in float64.
    assert norm({"a": np.full(4, 1e30, np.float32)}) == pytest.approx(2e30, rel=1e-6)
    assert norm({}) == 0.0


@pytest.mark.parametrize("at", [0, 65_535, 65_536, 200_000])
def test_one_value_that_is_not_finite_is_found_in_any_piece(at: int) -> None:
    array = np.zeros(200_001, np.float32).reshape(3, -1)
    assert is_finite(array)
    for value in (np.nan, np.inf, -np.inf):
        array.reshape(-1)[at] = value
        assert not is_finite(array)
        assert not is_finite(array.T)


def test_running_statistics_are_not_counted_as_trained() -> None:
    state = {"n.weight": np.zeros(3, np.float32), "n.running_mean": np.zeros(3, np.float32)}
    schema = AdapterSchema.of({**state, "n.num_batches_tracked": np.int64([1]).reshape(())}, private=["n.*"])
    assert (schema.size, schema.trained_size) == (7, 3)
