"""A client's dropout in a group is that which it has alone: asked of its stream in the same order and shapes."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from client.dropout import CpuStream, noise_by
from simulations.engine.layout import Here, Layout, block_of
from simulations.engine.packed_attention import Rows
from simulations.engine.streams import GroupedStreams, alone

WIDTH, HEADS, P = 6, 2, 0.4
LENGTHS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=3)
VIRTUAL = st.integers(0, 3)


def grouped(lengths: Sequence[Sequence[int]]) -> GroupedStreams:
    here = Here(Layout(tuple(tuple(each) for each in lengths)))
    return GroupedStreams([CpuStream(client) for client in range(len(lengths))], here)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float64)


@given(LENGTHS, VIRTUAL)
def test_padded_states_are_dropped_as_alone(lengths: list[list[int]], virtual: int) -> None:
    """Twice, since a stream that was asked for too much or too little the first time is elsewhere the second."""
    streams, longest = grouped(lengths), max(max(each) for each in lengths)
    single = [CpuStream(client) for client in range(len(lengths))]
    for _ in range(2):
        found = streams.noise(ones(sum(map(len, lengths)), virtual + longest, WIDTH), P)
        parts = torch.split(found, [len(each) for each in lengths])
        for part, stream, own in zip(parts, single, lengths, strict=True):
            expected = noise_by(stream)(ones(len(own), virtual + max(own), WIDTH), P)
            assert torch.equal(part[:, : virtual + max(own)], expected)


@given(LENGTHS, VIRTUAL, st.booleans())
def test_padded_attention_is_dropped_as_alone(lengths: list[list[int]], virtual: int, is_prefix: bool) -> None:
    """Virtual tokens of a prefix are keys only; those of a prompt are queries too."""
    streams, longest = grouped(lengths), max(max(each) for each in lengths)
    single = [CpuStream(client) for client in range(len(lengths))]
    before = 0 if is_prefix else virtual
    for _ in range(2):
        found = streams.noise(ones(sum(map(len, lengths)), HEADS, before + longest, virtual + longest), P)
        parts = torch.split(found, [len(each) for each in lengths])
        for part, stream, own in zip(parts, single, lengths, strict=True):
            expected = noise_by(stream)(ones(len(own), HEADS, before + max(own), virtual + max(own)), P)
            assert torch.equal(part[:, :, : before + max(own), : virtual + max(own)], expected)


@given(LENGTHS)
def test_pooled_rows_are_dropped_as_alone(lengths: list[list[int]]) -> None:
    streams = grouped(lengths)
    single = [CpuStream(client) for client in range(len(lengths))]
    for _ in range(2):
        parts = torch.split(streams.noise(ones(sum(map(len, lengths)), WIDTH), P), [len(each) for each in lengths])
        for part, stream in zip(parts, single, strict=True):
            assert torch.equal(part, noise_by(stream)(ones(len(part), WIDTH), P))


@given(LENGTHS, VIRTUAL)
def test_packed_rows_are_dropped_as_alone_without_their_padding(lengths: list[list[int]], virtual: int) -> None:
    streams = grouped(lengths)
    streams.here.blocks = blocks = [block_of(each, virtual) for each in lengths]
    places = Rows.of(blocks, torch.device("cpu")).places
    streams.here.tokens = None if places.changes_nothing else places.back
    single = [CpuStream(client) for client in range(len(lengths))]
    for _ in range(2):
        found = streams.noise(ones(1, sum(block.tokens for block in blocks), WIDTH), P)
        parts = torch.split(found, [block.tokens for block in blocks], dim=1)
        for part, stream, block in zip(parts, single, blocks, strict=True):
            whole = noise_by(stream)(ones(block.rows, block.positions, WIDTH), P)
            assert torch.equal(part[0], whole[torch.from_numpy(block.there())])


def test_each_client_is_asked_from_a_stream_of_its_own() -> None:
    streams = grouped([[4, 4], [4, 4]])
    first, second = torch.split(streams.noise(ones(4, 4, 64), P), 2)
    assert not torch.equal(first, second)
    one, other = (streams.dropped(client, ones(2, HEADS, 4, 4), P) for client in (0, 1))
    assert not torch.equal(one, other)


def test_clients_that_have_ended_are_not_asked() -> None:
    """The batch has the rows of the first clients only, and only their streams go on."""
    streams = grouped([[3], [5], [2]])
    streams.here.layout = Layout(((3,), (5,)))
    streams.noise(ones(2, 5, WIDTH), P)
    assert torch.equal(streams.streams[2].kept((8,), P), CpuStream(2).kept((8,), P))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((6, 9, 8), (2, 6, 8)), ((6, 3, 9, 9), (2, 3, 6, 6)), ((6, 3, 9, 12), (2, 3, 6, 9)), ((6, 8), (2, 8))],
)
def test_the_shape_of_one_client_s_rows_alone(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Of 9 positions the second client's longest row has 6."""
    assert alone(shape, Layout(((9, 1), (6, 2), (3, 3))), 1) == expected
