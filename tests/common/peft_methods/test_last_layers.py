"""The top blocks are trained, and no others."""

from collections.abc import Callable

import pytest
from torch import nn

from common.errors import StudyError
from common.peft_methods.last_layers import LastLayers

Make = Callable[[str], nn.Module]


@pytest.mark.parametrize(
    ("kind", "start"), [("bert", "encoder.layer.1."), ("llama", "layers.1."), ("gpt2", "h.1."), ("vit", "layers.1.")]
)
def test_the_top_block_is_trained_whole(kind: str, start: str, make_random_model: Make) -> None:
    base = make_random_model(kind)
    wanted = {name for name, _ in base.named_parameters() if name.startswith(start)}
    assert set(LastLayers(layers=1).trainable(LastLayers(layers=1).attach(base))) == wanted != set()


def test_blocks_are_counted_in_their_order_and_not_by_their_letters() -> None:
    base = nn.ModuleDict({"h": nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(11))}).requires_grad_(False)
    assert set(LastLayers(layers=2).trainable(LastLayers(layers=2).attach(base))) == {"h.9.weight", "h.10.weight"}


def test_more_blocks_than_there_are_is_the_user_s_mistake(make_random_model: Make) -> None:
    with pytest.raises(StudyError, match=r"peft.layers = 3, and the base model has 2 blocks"):
        LastLayers(layers=3).attach(make_random_model("bert"))
