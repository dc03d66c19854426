"""Every method on every architecture, without a task: it does what a method promises, or says why not in one line."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common import plugins
from common.errors import StudyError
from common.peft_methods import Merges, PeftMethod
from common.peft_methods.bottleneck import Bottleneck

PACKAGE = "common.peft_methods"
METHODS = plugins.available(PACKAGE)
ARCHITECTURES = ("bert", "llama", "gpt2", "llama-lm", "gpt2-lm", "vit", "resnet")
TEXT_ONLY = ("p-tuning", "prefix", "prompt")
REFUSED = {
    **dict.fromkeys([("bitfit", "llama"), ("bitfit", "llama-lm")], "llama.* has none"),
    **{(method, kind): f"{kind}.* reads none" for method in TEXT_ONLY for kind in ("vit", "resnet")},
    ("bottleneck", "resnet"): "no layer of 'encoder.stages.0' .resnet. is called one of",
    ("ia3", "resnet"): "no default is known for resnet",
    ("vera", "resnet"): "'embedder.embedder.convolution' is a convolution",
}
"""Llama has no biases, an image no place for virtual words, and a ResNet neither attention nor linear layers."""
Make = Callable[[str], nn.Module]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> PeftMethod:
    found: PeftMethod = plugins.build(PACKAGE, request.param, {}, key="peft.method")
    return found


@pytest.fixture(params=ARCHITECTURES)
def base(request: pytest.FixtureRequest, make_random_model: Make) -> nn.Module:
    return make_random_model(request.param)


def attached(method: PeftMethod, base: nn.Module) -> nn.Module:
    """Attach, or check how the method refuses, and skip."""
    before, state = set(base.state_dict()), clone(base)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return method.attach(base)
    except StudyError as error:
        text = str(error)
        assert text
        assert "\n" not in text
        assert set(base.state_dict()) == before
        assert all(torch.equal(tensor, state[name]) for name, tensor in base.state_dict().items())
        assert not any(p.requires_grad for p in base.parameters())
        pytest.skip(text)


def clone(model: nn.Module) -> Mapping[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def inputs(base: Any) -> dict[str, Tensor]:
    sides = {"vit": 16, "resnet": 32}
    if base.config.model_type in sides:
        side = sides[base.config.model_type]
        return {"pixel_values": torch.linspace(-9, 9, 2 * 3 * side * side).sin().reshape(2, 3, side, side)}
    ids = torch.tensor([[5, 9, 33, 41, 7], [8, 50, 12, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def hidden(model: nn.Module, given: Mapping[str, Tensor]) -> Tensor:
    """Return the last hidden states, or of a model that writes text the scores of words."""
    out = model(**given)
    found: Tensor = out.logits if hasattr(out, "logits") else out.last_hidden_state
    return found


def randomise(parameters: Mapping[str, nn.Parameter]) -> None:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_only_what_makes_no_sense_is_refused(name: str, kind: str, make_random_model: Make) -> None:
    method: PeftMethod = plugins.build(PACKAGE, name, {}, key="peft.method")
    if (name, kind) in REFUSED:
        with pytest.raises(StudyError, match=REFUSED[name, kind]):
            method.attach(make_random_model(kind))
    else:
        method.attach(make_random_model(kind))


def test_what_is_trained_is_what_is_named(method: PeftMethod, base: nn.Module) -> None:
    model = attached(method, base)
    named = method.trainable(model)
    assert {id(p) for p in named.values()} == {id(p) for p in model.parameters() if p.requires_grad}
    assert not [n for n in named if n.startswith("base_model.") or ".default" in n or ".base_layer" in n]
    assert method.wraps == (model is not base)
    own = {name for name, _ in base.named_modules()} | {"prompt_encoder"}
    assert [n for n in named if not any(n.startswith(f"{module}.") for module in own if module)] == []


def test_every_tensor_reaches_the_output_and_gets_a_gradient(method: PeftMethod, base: nn.Module) -> None:
    given, before = inputs(base), hidden(base, inputs(base))
    model = attached(method, base)
    named = method.trainable(model)
    randomise(named)
    after = hidden(model, given)
    if named:
        assert not torch.equal(after[:, -before.shape[1] :], before)
        after.pow(2).sum().backward()
    assert [name for name, p in named.items() if p.grad is None or not p.grad.any()] == []


def test_detaching_gives_the_base_model_back(method: PeftMethod, base: nn.Module) -> None:
    state, before = clone(base), hidden(base, inputs(base))
    model = attached(method, base)
    randomise(method.trainable(model))
    detached = method.detach(model)
    found = detached.state_dict()
    assert set(found) == set(state)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert torch.equal(hidden(detached, inputs(detached)), before)
    assert not any(p.requires_grad for p in detached.parameters())


def test_what_merges_gives_a_plain_model_that_computes_the_same(method: PeftMethod, base: nn.Module) -> None:
    if not isinstance(method, Merges):
        assert method.virtual_tokens or isinstance(method, Bottleneck)  # what stands beside the weights
        pytest.skip("nothing to merge")
    names, kind = set(base.state_dict()), type(base)
    model = attached(method, base).double()
    randomise(method.trainable(model))
    given = {name: t.double() if t.is_floating_point() else t for name, t in inputs(base).items()}
    with torch.no_grad():
        wanted = hidden(model.eval(), given)
        merged = method.merge(model)
        found = hidden(merged, given)
    assert (type(merged), set(merged.state_dict())) == (kind, names)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
