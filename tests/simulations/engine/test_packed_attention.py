"""Attention within packed rows against attention written out for one row at a time."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from client.dropout import CpuStream, noise_by
from simulations.engine.layout import CannotGroupError, Here, Layout, block_of
from simulations.engine.packed_attention import Prefix, Rows, attend, attending
from simulations.engine.packing import Packing
from simulations.engine.streams import GroupedStreams

HEADS, WIDTH = 2, 3
LENGTHS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=3)


class Layer(nn.Module):
    layer_idx = 0
    is_causal = False


class Cache:
    """Virtual keys and values of one layer, as transformers' caches hold them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.layers = [type("Held", (), {"keys": keys, "values": values})]

    def get_seq_length(self) -> int:
        return int(self.layers[0].keys.shape[2])


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def packing_of(lengths: Sequence[Sequence[int]], prefix: Any = None) -> Packing:
    here = Here(Layout(tuple(tuple(each) for each in lengths)), [block_of(each, 0) for each in lengths])
    streams = GroupedStreams([CpuStream(client) for client in range(len(lengths))], here)
    return Packing(here, streams, nn.Identity(), [], prefix, Rows.of(here.blocks, torch.device("cpu")))


def by_row(query: Tensor, key: Tensor, value: Tensor, noise: Tensor | float = 1.0) -> Tensor:
    """softmax(q k^T / sqrt(d)) v of one row's (heads, queries, width), as the paper has it."""
    scores = torch.einsum("hqd,hkd->hqk", query, key) / math.sqrt(WIDTH)
    return torch.einsum("hqk,hkd->qhd", torch.softmax(scores, dim=-1) * noise, value)


@given(LENGTHS, st.integers(0, 2))
def test_each_row_attends_to_itself_and_to_its_own_prefix(lengths: list[list[int]], virtual: int) -> None:
    sizes = [size for each in lengths for size in each]
    query, key, value = (drawn(1, HEADS, sum(sizes), WIDTH, seed=seed) for seed in range(3))
    keys, values = (drawn(len(sizes), HEADS, virtual, WIDTH, seed=seed) for seed in (3, 4))
    packing = packing_of(lengths, Prefix(Cache(keys, values)) if virtual else None)
    with attending(packing):
        found, weights = attend(Layer(), query, key, value, None)
    assert weights is None
    assert found.shape == (1, sum(sizes), HEADS, WIDTH)
    parts = zip(*(torch.split(each[0], sizes, dim=1) for each in (query, key, value)), strict=True)
    expected = [
        by_row(q, torch.cat([keys[row], k], dim=1), torch.cat([values[row], v], dim=1))
        for row, (q, k, v) in enumerate(parts)
    ]
    torch.testing.assert_close(found[0], torch.cat(expected), rtol=1e-12, atol=1e-12)


def test_a_prefix_is_each_row_s_own() -> None:
    lengths = [[2, 3], [4]]
    query, key, value = (drawn(1, HEADS, 9, WIDTH, seed=seed) for seed in range(3))
    keys, values = drawn(3, HEADS, 2, WIDTH, seed=3), drawn(3, HEADS, 2, WIDTH, seed=4)

    def said(virtual_values: Tensor) -> Tensor:
        with attending(packing_of(lengths, Prefix(Cache(keys, virtual_values)))):
            return attend(Layer(), query, key, value, None)[0]

    changed = values.clone()
    changed[1] += 1.0
    same = (said(values) == said(changed)).all(dim=(0, 2, 3))
    assert same.tolist() == [True, True, False, False, False, True, True, True, True]


@given(LENGTHS)
def test_dropout_of_weights_is_each_client_s_own(lengths: list[list[int]]) -> None:
    sizes = [size for each in lengths for size in each]
    query, key, value = (drawn(1, HEADS, sum(sizes), WIDTH, seed=seed) for seed in range(3))
    with attending(packing_of(lengths)):
        found = attend(Layer(), query, key, value, None, dropout=0.4)[0]
    noises = []
    for client, each in enumerate(lengths):
        ones = torch.ones(len(each), HEADS, max(each), max(each), dtype=query.dtype)
        whole = noise_by(CpuStream(client))(ones, 0.4)
        noises += [whole[row, :, :size, :size] for row, size in enumerate(each)]
    parts = zip(*(torch.split(each[0], sizes, dim=1) for each in (query, key, value)), strict=True)
    expected = [by_row(q, k, v, noise) for (q, k, v), noise in zip(parts, noises, strict=True)]
    torch.testing.assert_close(found[0], torch.cat(expected), rtol=1e-12, atol=1e-12)


def test_a_scale_of_the_model_s_own_is_kept() -> None:
    query, key, value = (drawn(1, HEADS, 4, WIDTH, seed=seed) for seed in range(3))
    with attending(packing_of([[4]])):
        found = attend(Layer(), query, key, value, None, scaling=0.25)[0]
        usual = attend(Layer(), query * 0.25 * math.sqrt(WIDTH), key, value, None)[0]
    torch.testing.assert_close(found, usual, rtol=1e-12, atol=1e-12)


def test_attention_that_looks_back_or_shares_keys_is_refused() -> None:
    query, shared = drawn(1, HEADS, 4, WIDTH, seed=0), drawn(1, 1, 4, WIDTH, seed=1)
    causal = Layer()
    causal.is_causal = True
    with attending(packing_of([[4]])):
        for layer, key in ((causal, query), (Layer(), shared)):
            with pytest.raises(CannotGroupError, match="not packed"):
                attend(layer, query, key, key, None)


def test_blocks_are_told_that_a_prefix_caches_nothing() -> None:
    keys, values = drawn(2, HEADS, 3, WIDTH, seed=0), drawn(2, HEADS, 3, WIDTH, seed=1)
    prefix = Prefix(Cache(keys, values))
    assert prefix.get_seq_length() == 3
    assert prefix.update(keys, values, 0, cache_position=None) == (keys, values)
    assert prefix.of(0) == (keys, values)
