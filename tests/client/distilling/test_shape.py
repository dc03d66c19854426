"""The student's shape: its count of parameters is that of the real model, and never above the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.distilling.shape import Shape, fit
from common.errors import UserError

MINILM = Shape(30522, 512, 2, hidden=384, layers=6, heads=12, intermediate=1536)
TINY = Shape(300, 128, 2, hidden=32, layers=2, heads=2, intermediate=64)


@pytest.mark.parametrize("shape", [TINY, Shape(50, 16, 1, hidden=24, layers=3, heads=4, intermediate=20)])
def test_the_parameters_are_those_of_the_model(shape: Shape) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=shape.vocabulary,
        max_position_embeddings=shape.positions,
        type_vocab_size=shape.types,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
    )
    assert shape.parameters == sum(p.numel() for p in BertModel(config, add_pooling_layer=False).parameters())


def test_a_tenth_of_minilm_keeps_its_width() -> None:
    found = fit(MINILM, vocabulary=234, positions=96, budget=2_268_000)
    assert (found.hidden, found.heads, found.layers) == (384, 12, 2)
    assert found.intermediate >= found.hidden


def test_a_vocabulary_that_takes_the_room_makes_it_narrow() -> None:
    found = fit(MINILM, vocabulary=8000, positions=128, budget=2_268_000)
    assert found.hidden < 384
    assert found.layers >= 2
    assert found.hidden % found.heads == 0


def test_the_whole_budget_gives_the_whole_model() -> None:
    assert fit(TINY, vocabulary=300, positions=128, budget=TINY.parameters) == TINY


@given(st.integers(5, 400), st.integers(4, 128), st.integers(500, 60_000))
def test_the_budget_is_kept(vocabulary: int, positions: int, budget: int) -> None:
    try:
        found = fit(TINY, vocabulary=vocabulary, positions=positions, budget=budget)
    except UserError:
        smallest = Shape(vocabulary, positions, 2, hidden=4, layers=1, heads=1, intermediate=4)
        assert smallest.parameters > budget
        return
    assert found.parameters <= budget
    assert found.hidden % found.heads == 0
    assert (found.vocabulary, found.positions) == (vocabulary, positions)


def test_no_room_is_said() -> None:
    with pytest.raises(UserError, match=r"no room for 300 tokens and one layer; give a larger --parameters"):
        fit(TINY, vocabulary=300, positions=48, budget=900)
