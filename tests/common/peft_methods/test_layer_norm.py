"""Norms are trained under their own names, whatever kind of norm it is."""

from collections.abc import Callable

import pytest
from torch import nn

from common.errors import StudyError
from common.peft_methods.layer_norm import LayerNorm

Make = Callable[[str], nn.Module]


@pytest.mark.parametrize(("kind", "count"), [("bert", 2 * (1 + 2 * 2)), ("llama", 1 + 2 * 2), ("vit", 2 * (1 + 2 * 2))])
def test_two_norms_a_block_and_one_more(kind: str, count: int, make_random_model: Make) -> None:
    base = make_random_model(kind)
    named = LayerNorm().trainable(LayerNorm().attach(base))
    assert len(named) == count
    assert all(parameter.shape == (32,) for parameter in named.values())
    assert set(named) <= {name for name, _ in base.named_parameters()}


def test_peft_s_names_are_of_its_copies() -> None:
    names = LayerNorm().peft_names(["encoder.layer.0.output.LayerNorm.weight"])
    assert list(names.values()) == ["base_model.model.encoder.layer.0.output.LayerNorm.ln_tuning_layers.weight"]


def test_a_model_without_norms_is_refused() -> None:
    with pytest.raises(StudyError, match="has no LayerNorm, RMSNorm, GroupNorm or BatchNorm"):
        LayerNorm().attach(nn.Linear(2, 2))
