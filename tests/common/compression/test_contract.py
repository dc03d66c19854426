"""What every file of `common/compression` keeps; those that keep no error are unbiased, the others telescope."""

from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord
from hypothesis import given
from hypothesis import strategies as st

from common import npy, plugins, wire
from common.compressing import KEY, PACKAGE, restored
from common.compression import Compression
from common.protocol import Reply
from common.state import AdapterSchema, AdapterState, digest_state

NAMES = plugins.available(PACKAGE)
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "int8": [{"scale": "row"}, {"scale": "tensor"}],
    "top-k": [{"density": 0.05}, {"density": 0.5}, {"density": 1.0}],
}
"""Further options than the defaults; a method that is not here is tried as it is."""
CASES = [(name, options) for name in NAMES for options in [{}, *OPTIONS.get(name, [])]]
ALL = pytest.mark.parametrize(("name", "options"), CASES)
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.lists(st.lists(st.integers(1, 7), max_size=4).map(tuple), min_size=1, max_size=4)
"""Square and not, of rank 1, of no axis and of four."""
PAIR = [(4, 9), (6, 4), (5,), ()]


def built(name: str, options: dict[str, Any]) -> Compression:
    found: Compression = plugins.build(PACKAGE, name, options, key=KEY)
    return found


def of_shapes(rng: np.random.Generator, shapes: list[tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Updates of magnitudes from 1e-6 to 10, some numbers of which are 0 and some equal."""
    state = {}
    for i, shape in enumerate(shapes):
        values = rng.normal(size=shape) * 10 ** rng.uniform(-6, 1)
        state[f"q.{i}"] = np.asarray(np.where(rng.random(shape) < 0.2, 0.0, values), np.float32)
    return state


def deep(state: AdapterState) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float64) for name, array in state.items()}


@ALL
@given(seed=SEEDS, shapes=SHAPES)
def test_what_travels_is_what_was_said_and_comes_back_in_its_shapes(
    name: str, options: dict[str, Any], seed: int, shapes: list[tuple[int, ...]]
) -> None:
    rng, compression = np.random.default_rng(seed), built(name, options)
    update = of_shapes(rng, shapes)
    asked = AdapterSchema.of(update)
    payload, _ = compression.compress(update, {}, rng)
    sent = compression.wire_schema(asked)
    sent.check(payload)
    assert sent.names == tuple(sorted(payload)) == AdapterSchema.of(payload).names
    asked.check(restored(payload, asked, compression))
    assert compression.in_words.isprintable()


@ALL
def test_bytes_on_the_wire_are_those_of_the_formula_and_a_header_for_each_dtype(
    name: str, options: dict[str, Any]
) -> None:
    """Of the message as it leaves: its arrays, without the JSON beside them, which no compression changes."""
    rng, compression = np.random.default_rng(0), built(name, options)
    update = of_shapes(rng, [(8, 64), (48, 8), (8, 64), (3,)])
    asked = AdapterSchema.of(update)
    sent = compression.wire_schema(asked)
    payload, _ = compression.compress(update, {}, rng)
    content = wire.encode_answer(Reply(payload, 1, {}, {}), sent)
    record = content["update"]
    assert isinstance(record, ArrayRecord)
    dtypes = {spec.dtype for spec in sent.tensors}
    assert sum(len(array.data) for array in record.values()) == sent.size_bytes + npy.HEADER_BYTES * len(dtypes)
    head = sum(len(text.encode()) for text in content["head"].values())  # type: ignore[union-attr] # of texts
    assert wire.size_bytes(content) == sent.size_bytes + npy.HEADER_BYTES * len(dtypes) + head


@ALL
def test_nothing_asked_is_nothing_sent(name: str, options: dict[str, Any]) -> None:
    compression, nothing = built(name, options), AdapterSchema(())
    assert compression.wire_schema(nothing) == nothing
    assert compression.compress({}, {}, np.random.default_rng(0)) == ({}, {})
    assert restored({}, nothing, compression) == {}


@ALL
def test_inputs_are_not_mutated_and_outputs_do_not_hold_them(name: str, options: dict[str, Any]) -> None:
    rng, compression = np.random.default_rng(0), built(name, options)
    update, error = of_shapes(rng, PAIR), deep(of_shapes(rng, PAIR))
    before = digest_state(update), digest_state(error)
    payload, left = compression.compress(update, error, rng)
    middle = digest_state(payload), digest_state(left)
    compression.compress(of_shapes(rng, PAIR), left, rng)
    restored(payload, AdapterSchema.of(update), compression)
    assert before == (digest_state(update), digest_state(error))
    assert middle == (digest_state(payload), digest_state(left))


@ALL
def test_the_same_draws_give_the_same_bytes(name: str, options: dict[str, Any]) -> None:
    made = []
    for order in (1, -1):  # of the mapping
        rng, compression = np.random.default_rng(3), built(name, options)
        update = dict(list(of_shapes(rng, PAIR).items())[::order])
        before = rng.bit_generator.state
        made.append([digest_state(each) for each in compression.compress(update, {}, rng)])
        assert (rng.bit_generator.state != before) == compression.draws
    assert made[0] == made[1]


@ALL
def test_zeros_stay_zeros(name: str, options: dict[str, Any]) -> None:
    compression, rng = built(name, options), np.random.default_rng(0)
    update = {n: np.zeros_like(array) for n, array in of_shapes(rng, PAIR).items()}
    payload, left = compression.compress(update, {}, rng)
    found = restored(payload, AdapterSchema.of(update), compression)
    assert not any(array.any() for array in [*found.values(), *left.values()])


@ALL
def test_what_keeps_no_error_is_unbiased(name: str, options: dict[str, Any]) -> None:
    """The mean of 10^4 draws is within 4 standard errors, taken of the draws themselves, of every number."""
    compression, draws = built(name, options), 10_000
    if compression.keeps_error:
        return
    update = of_shapes(np.random.default_rng(1), [(2, 5), (4, 2), (3,), ()])
    asked, exact = AdapterSchema.of(update), deep(update)
    sums = {n: np.zeros_like(array) for n, array in exact.items()}
    squares = {n: np.zeros_like(array) for n, array in exact.items()}
    rng = np.random.default_rng(5)
    for _ in range(draws):
        payload, left = compression.compress(update, {}, rng)
        assert not left
        for n, array in restored(payload, asked, compression).items():
            sums[n] += array - exact[n]
            squares[n] += np.square(array - exact[n])
    for n, total in sums.items():
        mean, error = total / draws, np.sqrt(squares[n]) / draws
        assert (np.abs(mean) <= 4 * error + 1e-7 * np.abs(exact[n])).all(), n


@ALL
@given(seed=SEEDS, shapes=SHAPES)
def test_what_keeps_an_error_loses_nothing(
    name: str, options: dict[str, Any], seed: int, shapes: list[tuple[int, ...]]
) -> None:
    """Telescoping: all that was sent, and what is left, is all that was trained, whatever was active in each round."""
    compression, rng = built(name, options), np.random.default_rng(seed)
    if not compression.keeps_error:
        return
    whole = AdapterSchema.of(of_shapes(rng, shapes))
    trained = {spec.name: np.zeros(spec.shape) for spec in whole.tensors}
    sent = {spec.name: np.zeros(spec.shape) for spec in whole.tensors}
    left: dict[str, np.ndarray] = {}
    for _ in range(6):
        update = {n: array for n, array in of_shapes(rng, shapes).items() if rng.random() < 0.7}
        asked = whole.only(update)
        idle = digest_state({n: array for n, array in left.items() if n not in update})
        payload, left = compression.compress(update, left, rng)
        assert digest_state({n: array for n, array in left.items() if n not in update}) == idle
        for n, array in restored(payload, asked, compression).items():
            trained[n], sent[n] = trained[n] + update[n].astype(np.float64), sent[n] + array
    for n, total in trained.items():
        np.testing.assert_allclose(sent[n] + left.get(n, 0.0), total, rtol=0, atol=1e-12 * (1 + np.abs(total).max()))
