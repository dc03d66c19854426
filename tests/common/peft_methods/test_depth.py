"""Depths of tensors on four architectures, and rates that fall with them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from common import plugins
from common.errors import StudyError
from common.peft_methods._depth import Stack, depth, rate_factors, stack_of

LOWEST = {"bert": "embeddings.", "llama": "embed_tokens.", "gpt2": "wte.", "vit": "embeddings."}
Random = Callable[[str], nn.Module]


@pytest.mark.parametrize("kind", LOWEST)
def test_depth_follows_the_blocks_of_every_architecture(kind: str, make_random_model: Random) -> None:
    model = make_random_model(kind)
    stack = stack_of(model)
    assert stack.blocks == 2
    depths = {name: depth(name, stack) for name, _ in model.named_parameters()}
    assert set(depths.values()) == {0, 1, 2, 3} - ({0} if kind == "bert" else set())  # BERT has no norm at its top
    assert {name for name, found in depths.items() if found == 3} >= {n for n in depths if n.startswith(LOWEST[kind])}
    assert {found for name, found in depths.items() if f"{stack.name}.1." in name} == {1}
    assert {found for name, found in depths.items() if f"{stack.name}.0." in name} == {2}


@pytest.mark.parametrize("method", ["lora", "prefix", "ia3", "bottleneck", "layer-norm", "full", "vera", "adalora"])
def test_wrappers_of_peft_do_not_change_it(method: str, make_random_model: Random) -> None:
    built = plugins.build("common.peft_methods", method, {}, key="peft.method")
    model = built.attach(make_random_model("bert"))
    stack = stack_of(model)
    assert stack == Stack("encoder.layer", 2)
    found = {depth(name, stack) for name in built.trainable(model)}
    assert found == {"prefix": {0}, "full": {1, 2, 3}, "layer-norm": {1, 2, 3}}.get(method, {1, 2})


def test_a_model_without_blocks_is_said_to_have_none() -> None:
    with pytest.raises(StudyError, match="no stack of alike blocks"):
        stack_of(nn.Sequential(nn.Linear(2, 2)))


@given(st.integers(1, 40), st.floats(0.01, 1))
def test_rates_fall_by_the_same_share_from_block_to_block(blocks: int, decay: float) -> None:
    names = ["head.weight", *[f"h.{i}.x" for i in reversed(range(blocks))], "wte.weight"]
    factors = list(rate_factors(names, Stack("h", blocks), decay=decay).values())
    assert factors == pytest.approx([decay**i for i in range(blocks + 2)], rel=1e-12)


def test_a_name_that_only_begins_like_a_block_is_none() -> None:
    assert depth("h2.0.x", Stack("h", 2)) == 0
    assert depth("head.embeddings", Stack("h", 2)) == 0
