"""The prefix's own numbers: attention over the trained keys and values, by plain numpy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from common.peft_methods.prefix import Prefix
from common.workbench import Workbench

HIDDEN, HEADS, LAYERS = 32, 2, 2
TABLE = "prompt_encoder.embedding.weight"


@pytest.mark.parametrize("tokens", [1, 5])
def test_the_table_is_keys_and_values_of_every_layer(tokens: int, open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench(f"peft={{method='prefix', virtual_tokens={tokens}}}")
    assert bench.parameters[TABLE].shape == (tokens, LAYERS * 2 * HIDDEN)
    assert set(bench.parameters) == {TABLE, "head.weight", "head.bias"}
    assert Prefix(virtual_tokens=tokens).virtual_tokens == tokens
    assert Prefix().aggregates_linearly


def test_the_first_layer_attends_to_the_prefix(open_bench: Callable[..., Workbench]) -> None:
    """Layer 0 reads the embeddings alone, so its context is softmax(q [prefix; k]^T / sqrt(d)) [prefix; v]."""
    tokens, width = 3, HIDDEN // HEADS
    bench = open_bench(f"peft={{method='prefix', virtual_tokens={tokens}}}")
    rng = np.random.default_rng(0)
    table = rng.normal(size=bench.parameters[TABLE].shape).astype(np.float32)
    bench.write({**bench.read(), TABLE: table})
    seen: dict[str, torch.Tensor] = {}
    attention = bench.model.base_model.encoder.layer[0].attention.self
    for name, module in (("q", attention.query), ("k", attention.key), ("v", attention.value)):
        module.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
    attention.register_forward_hook(lambda _, __, output: seen.update(context=output[0]))
    bench.model.eval()
    ids = torch.tensor([[2, 90, 100, 3]])
    with torch.inference_mode():
        bench.model(input_ids=ids, attention_mask=torch.ones_like(ids))
    # PEFT reads a row of the table as (layer 0 key, layer 0 value, layer 1 key, ...), each (heads, width).
    prefix = table.reshape(tokens, 2 * LAYERS, HEADS, width)
    q, k, v = (seen[name][0].numpy().reshape(len(ids[0]), HEADS, width) for name in "qkv")
    keys, values = np.concatenate([prefix[:, 0], k]), np.concatenate([prefix[:, 1], v])
    scores = np.einsum("qhw,khw->hqk", q, keys) / np.sqrt(width)
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    expected = np.einsum("hqk,khw->qhw", weights, values).reshape(len(ids[0]), HIDDEN)
    np.testing.assert_allclose(seen["context"][0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_network_may_make_the_prefix(open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench("peft={method='prefix', virtual_tokens=3, projection=5}")
    shapes = {n.removeprefix("prompt_encoder."): tuple(p.shape) for n, p in bench.parameters.items() if "head" not in n}
    assert shapes == {
        "embedding.weight": (3, HIDDEN),
        "transform.0.weight": (5, HIDDEN),
        "transform.0.bias": (5,),
        "transform.2.weight": (LAYERS * 2 * HIDDEN, 5),
        "transform.2.bias": (LAYERS * 2 * HIDDEN,),
    }
    assert not bench.method.aggregates_linearly
    assert bench.method.peft_names(list(bench.parameters)) is None
