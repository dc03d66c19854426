"""Biases are trained, but for those that a softmax cannot see."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from common.errors import StudyError
from common.peft_methods.bitfit import Bitfit

Make = Callable[[str], nn.Module]


@pytest.mark.parametrize("kind", ["bert", "gpt2", "vit"])
def test_biases_are_trained_and_no_weights(kind: str, make_random_model: Make) -> None:
    base = make_random_model(kind)
    biases = {name for name, _ in base.named_parameters() if name.endswith("bias")}
    blind = {name for name in biases if name.endswith((".key.bias", ".k_proj.bias"))}
    assert set(Bitfit().trainable(Bitfit().attach(base))) == biases - blind
    assert len(blind) == (0 if kind == "gpt2" else 2)


def test_what_is_left_out_does_not_matter(make_random_model: Make) -> None:
    """softmax(q (k + b)) = softmax(q k + q b): the same number q b is added to every score of the query q."""
    base, ids = make_random_model("bert"), torch.tensor([[3, 4, 5]])
    before = base(input_ids=ids).last_hidden_state
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if name.endswith(".key.bias"):
                parameter.add_(torch.randn(parameter.shape))
    torch.testing.assert_close(base(input_ids=ids).last_hidden_state, before, rtol=1e-4, atol=1e-4)


def test_rotated_keys_keep_their_bias() -> None:
    base = nn.ModuleDict({"rotary_emb": nn.Identity(), "k_proj": nn.Linear(2, 2), "h": nn.ModuleDict()})
    base["h"]["k_proj"] = nn.Linear(2, 2)  # type: ignore[index, operator] # torch types an item as a tensor or module
    assert set(Bitfit().trainable(Bitfit().attach(base.requires_grad_(False)))) == {"k_proj.bias", "h.k_proj.bias"}


def test_a_model_without_biases_is_refused(make_random_model: Make) -> None:
    with pytest.raises(StudyError, match=r"the base model \(llama\) has none; choose layer-norm"):
        Bitfit().attach(make_random_model("llama"))
