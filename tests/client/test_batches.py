"""Batches over random rows: every row once an epoch, no batch too large, little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.batches import BUCKET_BATCHES, count_steps, epoch_batches, scoring_batches, take, training_batches

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=200)
SIZES = st.integers(1, 9)
SEEDS = st.integers(0, 2**32 - 1)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(LENGTHS, SIZES, SEEDS)
def test_an_epoch_covers_every_row_once(lengths: list[int], batch_size: int, seed: int) -> None:
    batches = epoch_batches(lengths, batch_size=batch_size, rng=rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch_size
    assert len(batches) == count_steps(len(lengths), batch_size=batch_size, epochs=1, steps=None)


@given(LENGTHS, SIZES, SEEDS)
def test_the_same_generator_gives_the_same_batches(lengths: list[int], batch_size: int, seed: int) -> None:
    one, other = (epoch_batches(lengths, batch_size=batch_size, rng=rng(seed)) for _ in range(2))
    assert [batch.tolist() for batch in one] == [batch.tolist() for batch in other]


@given(LENGTHS, SIZES, st.integers(1, 4), st.none() | st.integers(1, 40))
def test_steps_are_counted_exactly(lengths: list[int], batch_size: int, epochs: int, steps: int | None) -> None:
    batches = list(training_batches(lengths, batch_size=batch_size, epochs=epochs, steps=steps, rng=rng()))
    assert len(batches) == count_steps(len(lengths), batch_size=batch_size, epochs=epochs, steps=steps)
    if steps is not None:
        assert len(batches) == steps
        return
    seen = np.bincount(np.concatenate(batches), minlength=len(lengths))
    assert (seen == epochs).all()


@given(LENGTHS, SIZES, st.integers(1, 40))
def test_rows_take_turns_when_steps_are_counted(lengths: list[int], batch_size: int, steps: int) -> None:
    batches = list(training_batches(lengths, batch_size=batch_size, epochs=1, steps=steps, rng=rng()))
    seen = np.bincount(np.concatenate(batches), minlength=len(lengths))
    assert seen.max() - seen.min() <= 1


def test_epochs_differ_from_each_other() -> None:
    batches = list(training_batches([5] * 40, batch_size=4, epochs=2, steps=None, rng=rng()))
    assert [b.tolist() for b in batches[:10]] != [b.tolist() for b in batches[10:]]


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Share of padded positions among all."""
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - lengths.sum() / padded


@given(SEEDS)
def test_padding_is_a_fraction_of_that_of_random_batches(seed: int) -> None:
    lengths = rng(seed).integers(5, 200, size=512)
    found = padding(lengths, epoch_batches(lengths.tolist(), batch_size=16, rng=rng(seed)))
    order = rng(seed + 1).permutation(512)
    random = padding(lengths, [order[i : i + 16] for i in range(0, 512, 16)])
    # Uniform lengths: the longest of 16 is 16/17 of the range, so half of a random batch is padding. In a sorted
    # bucket of 8 batches a batch spans an eighth of the range, and its padding is half of that.
    assert random > 0.4
    assert found < 0.12 < random / 3


def test_a_bucket_s_batches_are_of_like_length_and_come_in_random_order() -> None:
    lengths = list(range(1, 4 * BUCKET_BATCHES + 1))
    batches = epoch_batches(lengths, batch_size=4, rng=rng())
    spans = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert spans == [3] * BUCKET_BATCHES
    assert [b.min() for b in batches] != sorted(b.min() for b in batches)


@given(LENGTHS, SIZES)
def test_scoring_covers_every_row_once_from_short_to_long(lengths: list[int], batch_size: int) -> None:
    order = np.concatenate(scoring_batches(lengths, batch_size=batch_size))
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths)


def test_nothing_is_scored_of_nothing() -> None:
    assert scoring_batches([], batch_size=4) == []


@pytest.mark.parametrize("index", [[], [2, 0], [1, 1]])
def test_take_is_by_position(index: list[int]) -> None:
    assert take(["a", "b", "c"], np.array(index, np.int64)) == [["a", "b", "c"][i] for i in index]
