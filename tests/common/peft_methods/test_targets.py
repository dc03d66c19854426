"""Layers are found by the ends of their names; what is wrong with a name or a rank is said with what there is."""

from collections.abc import Callable

import pytest
from torch import nn

from common.errors import StudyError
from common.peft_methods import _targets
from common.peft_methods._targets import Convolution, Layer

Make = Callable[[str], nn.Module]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bert", ("query", "value")),
        ("llama", ("q_proj", "v_proj")),
        ("vit", ("q_proj", "v_proj")),
        ("gpt2", ("c_attn",)),
    ],
)
def test_query_and_value_have_a_name_in_each_architecture(
    kind: str, expected: tuple[str, ...], make_random_model: Make
) -> None:
    base = make_random_model(kind)
    assert _targets.choose(base, None, _targets.QUERY_AND_VALUE) == expected
    assert len(_targets.matching(base, expected)) == 2 * len(expected)


def test_sizes_are_inputs_and_outputs_whatever_the_layout_of_the_weight(make_random_model: Make) -> None:
    assert _targets.linear_layers(make_random_model("gpt2"))["h.0.attn.c_attn"] == Layer(32, 96, transposed=True)
    assert _targets.linear_layers(make_random_model("llama"))["layers.1.mlp.down_proj"] == Layer(48, 32)
    assert _targets.linear_layers(nn.Sequential(nn.Conv2d(3, 5, 2)))["0"] == Layer(
        3 * 2 * 2, 5, convolution=Convolution(1, dilated=False)
    )


def test_a_name_that_matches_nothing_is_answered_with_a_near_one(make_random_model: Make) -> None:
    with pytest.raises(StudyError, match=r"no layer 'q_prj'; it has: down_proj, .*; did you mean 'q_proj'\?"):
        _targets.choose(make_random_model("llama"), ("q_prj",), ())
    with pytest.raises(StudyError, match="names no layer"):
        _targets.choose(make_random_model("llama"), (), ())


def test_an_architecture_without_a_default_asks_for_names() -> None:
    with pytest.raises(StudyError, match=r"no default is known for Sequential; name some of its layers: 0"):
        _targets.choose(nn.Sequential(nn.Linear(2, 2)), None, _targets.QUERY_AND_VALUE)


def test_a_rank_is_at_most_the_smaller_side(make_random_model: Make) -> None:
    layers = _targets.matching(make_random_model("llama"), ("q_proj", "v_proj"))
    _targets.check_rank(layers, 16)
    with pytest.raises(StudyError, match=r"peft.rank = 17 is above .*v_proj', 16 x 32; expected at most 16"):
        _targets.check_rank(layers, 17)


def test_blocks_are_the_longest_stack(make_random_model: Make) -> None:
    names = {kind: [name for name, _ in _targets.blocks(make_random_model(kind))] for kind in ("bert", "gpt2", "vit")}
    assert names == {
        "bert": ["encoder.layer.0", "encoder.layer.1"],
        "gpt2": ["h.0", "h.1"],
        "vit": ["layers.0", "layers.1"],
    }
    with pytest.raises(StudyError, match="no stack of alike blocks"):
        _targets.blocks(nn.Linear(2, 2))


def test_the_last_layers_of_each_block_s_two_halves_are_found(make_random_model: Make) -> None:
    bert, llama = make_random_model("bert"), make_random_model("llama")
    found = _targets.in_each_block(bert, _targets.FEED_FORWARD_OUTPUTS)
    assert found == ["encoder.layer.0.output.dense", "encoder.layer.1.output.dense"]
    found = _targets.in_each_block(llama, _targets.ATTENTION_OUTPUTS)
    assert found == ["layers.0.self_attn.o_proj", "layers.1.self_attn.o_proj"]
    with pytest.raises(StudyError, match=r"no layer of 'layers.0' \(llama\) is called one of: fc9"):
        _targets.in_each_block(llama, ("fc9",))


def test_a_convolution_is_as_wide_as_its_window() -> None:
    """Its matrix is (5, 3 * 3 * 3): a rank above its channels is low all the same."""
    layers = _targets.linear_layers(nn.Sequential(nn.Conv2d(3, 5, 3)))
    _targets.check_rank(layers, 5)
    with pytest.raises(StudyError, match="5 x 27; expected at most 5"):
        _targets.check_rank(layers, 6)


@pytest.mark.parametrize(
    ("convolution", "message"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), "'0' is a convolution of 8 groups, and rank 4 is no multiple"),
        (nn.Conv2d(8, 8, 3, dilation=2), "'0' is a dilated convolution"),
    ],
)
def test_convolutions_that_peft_has_no_lora_for_are_refused(convolution: nn.Module, message: str) -> None:
    layers = _targets.linear_layers(nn.Sequential(convolution))
    with pytest.raises(StudyError, match=message):
        _targets.check_convolutions({"0": 4}, layers)


def test_convolutions_and_linear_layers_that_peft_has_a_lora_for_pass() -> None:
    layers = _targets.linear_layers(nn.Sequential(nn.Conv2d(8, 8, 3, groups=2), nn.Linear(3, 3)))
    _targets.check_convolutions({"0": 4, "1": 3}, layers)
