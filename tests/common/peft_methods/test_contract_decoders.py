"""Models that write text: their own names, an output layer tied to the embeddings, and GPT-2's transposed layers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from common import plugins
from common.peft_methods import PeftMethod

Make = Callable[[str], nn.Module]
IDS = torch.tensor([[5, 9, 33, 41, 7], [8, 50, 12, 3, 4]])
EMBEDDING = {"llama-lm": "model.embed_tokens.weight", "gpt2-lm": "transformer.wte.weight"}


def method_of(name: str, **options: Any) -> PeftMethod:
    found: PeftMethod = plugins.build("common.peft_methods", name, options, key="peft.method")
    return found


def hybrid_of(first: str, second: str) -> PeftMethod:
    return method_of("hybrid", first={"method": first}, second={"method": second})


@pytest.mark.parametrize("kind", EMBEDDING)
@pytest.mark.parametrize("method", [method_of("full"), hybrid_of("full", "prompt"), hybrid_of("lora", "full")])
def test_a_tied_output_layer_is_trained_once(method: PeftMethod, kind: str, make_random_model: Make) -> None:
    """One tensor under one name, at both places after a step, and tied still when it is given back."""
    base: Any = make_random_model(kind)
    assert base.lm_head.weight is base.get_input_embeddings().weight
    before = base.lm_head.weight.detach().clone()
    model: Any = attached(method, base)
    named = method.trainable(model)
    assert EMBEDDING[kind] in named
    assert not [name for name in named if "lm_head" in name]
    assert len({id(p) for p in named.values()}) == len(named)
    optimizer = torch.optim.SGD(named.values(), lr=0.1)
    model(input_ids=IDS).logits.pow(2).mean().backward()
    gradient = named[EMBEDDING[kind]].grad
    assert gradient is not None
    torch.testing.assert_close(gradient, by_hand(method, kind, make_random_model))
    optimizer.step()
    torch.testing.assert_close(base.lm_head.weight, before - 0.1 * gradient)
    detached: Any = method.detach(model)
    assert detached.lm_head.weight is detached.get_input_embeddings().weight
    assert torch.equal(detached.lm_head.weight, before)


def attached(method: PeftMethod, base: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return method.attach(base)


def by_hand(method: PeftMethod, kind: str, make_random_model: Make) -> torch.Tensor:
    """The sum of the gradients of both places, each a tensor of its own with the same numbers."""
    base: Any = make_random_model(kind)
    model: Any = attached(method, base)
    base.lm_head.weight = nn.Parameter(base.lm_head.weight.detach().clone())
    model(input_ids=IDS).logits.pow(2).mean().backward()
    gradient: torch.Tensor = base.lm_head.weight.grad + base.get_input_embeddings().weight.grad
    return gradient


@pytest.mark.parametrize("kind", EMBEDDING)
@pytest.mark.parametrize("method", [hybrid_of("prompt", "layer-norm"), hybrid_of("lora", "layer-norm")])
def test_names_are_the_model_s_own_whatever_wraps_it(method: PeftMethod, kind: str, make_random_model: Make) -> None:
    """Virtual tokens wrap a model once and factors twice: the model's own `model.` stays either way."""
    base = make_random_model(kind)
    norms = {name for name, _ in base.named_parameters() if "norm" in name or ".ln_" in name}
    found = set(method.trainable(method.attach(base)))
    assert norms <= found
    assert all(name.startswith((EMBEDDING[kind].split(".")[0], "prompt_encoder.")) for name in found)


@pytest.mark.parametrize("kind", ["gpt2", "gpt2-lm"])
@pytest.mark.parametrize("name", ["lora", "adalora", "vera", "ia3"])
@pytest.mark.parametrize("end", ["attn.c_attn", "mlp.c_proj"])
def test_transposed_layers_compute_the_formula(name: str, kind: str, end: str, make_random_model: Make) -> None:
    """GPT-2's weight is (in, out), so h = x W0 + x D^T + b, with D (out, in) the change that the method states."""
    options: dict[str, Any] = {"targets": [end], **({"feedforward": ["mlp.c_fc"]} if name == "ia3" else {})}
    method = method_of(name, **options)
    base = make_random_model(kind)
    (layer_name,) = [n for n, _ in base.named_modules() if n.endswith(f"h.1.{end}")]
    original: Any = base.get_submodule(layer_name)
    weight, bias = original.weight.detach().clone(), original.bias.detach().clone()
    model: Any = method.attach(base)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in method.trainable(model).values():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    layer: Any = model.get_submodule(f"base_model.model.{layer_name}")
    x = torch.randn(4, weight.shape[0], generator=draw)
    torch.testing.assert_close(layer(x), expected_of(name, layer, x, weight, bias), rtol=1e-3, atol=1e-3)


def expected_of(name: str, layer: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    plain = x @ weight + bias
    if name == "ia3":
        scaled: torch.Tensor = plain * layer.ia3_l["default"].flatten()
        return scaled
    if name == "lora":
        change = 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    elif name == "adalora":
        change = layer.lora_B["default"] @ (layer.lora_A["default"] * layer.lora_E["default"])
        change = change * layer.scaling["default"] / (layer.ranknum["default"] + 1e-5)
    else:
        outputs, inputs, rank = weight.shape[1], weight.shape[0], layer.vera_lambda_d["default"].shape[0]
        a, b = layer.vera_A["default"][:, :inputs], layer.vera_B["default"][:outputs]
        assert (a.shape, b.shape) == ((rank, inputs), (outputs, rank))
        change = layer.vera_lambda_b["default"][:, None] * b @ (layer.vera_lambda_d["default"][:, None] * a)
    return plain + x @ change.T
