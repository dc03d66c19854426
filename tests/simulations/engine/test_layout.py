"""Whose rows are where: splitting and joining of the three forms of a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simulations.engine.layout import CannotGroupError, Here, Layout, block_of

LENGTHS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4)


def layout_of(lengths: list[list[int]]) -> Layout:
    return Layout(tuple(tuple(each) for each in lengths))


@given(LENGTHS)
def test_a_layout_counts_rows_and_positions(lengths: list[list[int]]) -> None:
    layout = layout_of(lengths)
    assert layout.rows == tuple(len(each) for each in lengths)
    assert layout.longest == tuple(max(each) for each in lengths)
    assert layout.positions == max(size for each in lengths for size in each)


@given(LENGTHS, st.integers(0, 2))
def test_padded_and_pooled_rows_are_each_client_s_in_turn(lengths: list[list[int]], axes: int) -> None:
    here = Here(layout_of(lengths))
    owner = torch.tensor([client for client, each in enumerate(lengths) for _ in each])
    tensor = owner.reshape(-1, *(1,) * axes).expand(-1, *(3,) * axes)
    parts = here.split(tensor)
    assert len(parts) == len(lengths)
    assert all(bool((part == client).all()) for client, part in enumerate(parts))
    assert torch.equal(here.join(parts, tensor), tensor)


@given(LENGTHS, st.integers(0, 3))
def test_packed_rows_are_too(lengths: list[list[int]], virtual: int) -> None:
    blocks = [block_of(each, virtual) for each in lengths]
    here = Here(layout_of(lengths), blocks)
    owner = torch.tensor([client for client, block in enumerate(blocks) for _ in range(block.tokens)])
    tensor = owner[None, :, None].expand(1, -1, 6)
    assert here.is_packed(tensor)
    parts = here.split(tensor)
    assert [part.shape[:2] for part in parts] == [(1, sum(each) + virtual * len(each)) for each in lengths]
    assert all(bool((part == client).all()) for client, part in enumerate(parts))
    assert torch.equal(here.join(parts, tensor), tensor)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 3))
def test_a_block_says_which_positions_are_no_padding(lengths: list[int], virtual: int) -> None:
    block = block_of(lengths, virtual)
    there = block.there()
    assert there.shape == (block.rows, block.positions) == (len(lengths), max(lengths) + virtual)
    assert there.sum() == block.tokens
    for row, length in zip(there, lengths, strict=True):
        assert row.tolist() == [True] * (length + virtual) + [False] * (max(lengths) - length)
    assert (block.places is None) == bool(there.all())
    if block.places is not None:
        np.testing.assert_array_equal(block.places, np.flatnonzero(there))


def test_what_has_not_the_rows_of_the_batch_is_refused() -> None:
    here = Here(layout_of([[2, 3], [4]]))
    assert here.sizes(torch.zeros(3, 4, 8)) == (2, 1)
    assert not here.is_packed(torch.zeros(1, 9, 8))  # nothing is packed now
    for shape in ((2, 4, 8), (12, 8), (1, 9, 8), ()):
        with pytest.raises(CannotGroupError, match="has not the rows of the batch"):
            here.sizes(torch.zeros(shape))


def test_a_batch_of_one_row_is_told_from_packed_rows() -> None:
    here = Here(layout_of([[4]]), [block_of([4], 0)])
    assert here.is_packed(torch.zeros(1, 4, 8))
    assert not here.is_packed(torch.zeros(1, 8))
    assert here.sizes(torch.zeros(1, 8)) == (1,)
