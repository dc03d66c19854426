"""A model that carries a change computes what one with changed base weights would, and its base keeps every bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from common.carried import CARRIED
from common.errors import SchemaError
from common.lora_pairs import pairs_of
from common.peft_methods._carried import CarriedLayers
from common.peft_methods.lora import Lora
from common.state import Array

Make = Callable[[str], nn.Module]
KINDS = {
    "bert": ("query", "value", "dense"),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    "resnet": ("convolution",),
}


def given(kind: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    if kind == "resnet":
        return {"pixel_values": torch.rand(2, 3, 32, 32, generator=generator, dtype=torch.float64)}
    return {"input_ids": torch.randint(0, 60, (2, 7), generator=generator)}


def said(model: nn.Module, kind: str) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**given(kind)).last_hidden_state
    return found


def change_of(parameters: dict[str, nn.Parameter], rank: int) -> dict[str, Array]:
    rng, found = np.random.default_rng(5), {}
    for pair in pairs_of(parameters):
        a, b = parameters[pair.a], parameters[pair.b]
        found[f"{CARRIED}{pair.a}"] = rng.normal(size=(rank, *a.shape[1:])).astype(np.float32) / 4
        found[f"{CARRIED}{pair.b}"] = rng.normal(size=(b.shape[0], rank, *b.shape[2:])).astype(np.float32) / 4
    return found


def merged(model: Any, carried: dict[str, Array]) -> None:
    """Fold s B_c A_c into the base weights, each in its own orientation."""
    for name, module in model.named_modules():
        layer = name.removeprefix("base_model.model.")
        if f"{CARRIED}{layer}.lora_A.weight" not in carried:
            continue
        a, b = (torch.tensor(carried[f"{CARRIED}{layer}.lora_{letter}.weight"]).double() for letter in "AB")
        base, scale = module.get_base_layer(), module.scaling["default"]
        if isinstance(base, nn.Conv2d):
            base.weight += scale * torch.einsum("or,rihw->oihw", b[:, :, 0, 0], a)
        elif isinstance(base, nn.Linear):
            base.weight += scale * b @ a
        else:
            base.weight += scale * (b @ a).T  # Conv1D


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_carried_is_as_folded_into_the_base(kind: str, rslora: bool, make_random_model: Make) -> None:
    method = Lora(rank=4, alpha=6.0, dropout=0.5, targets=KINDS[kind], rslora=rslora)
    model = method.attach(make_random_model(kind)).eval().double()
    parameters = method.trainable(model)
    layers, carried = CarriedLayers(), change_of(parameters, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plain = said(model, kind)
    layers.put(model, parameters, carried)
    found = said(model, kind)
    assert (found - plain).abs().max() > 1e-2
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    layers.put(model, parameters, carried)  # in place of the first, not on top of it
    assert torch.equal(said(model, kind), found)
    layers.put(model, parameters, {})
    assert torch.equal(said(model, kind), plain)
    with torch.no_grad():
        merged(model, carried)
    torch.testing.assert_close(found, said(model, kind), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_carried_is_merged_as_changes_of_weights(kind: str, make_random_model: Make) -> None:
    method = Lora(rank=4, targets=KINDS[kind])
    model = method.attach(make_random_model(kind)).eval().double()
    parameters, layers = method.trainable(model), CarriedLayers()
    layers.put(model, parameters, change_of(parameters, 3))
    wanted, changes = said(model, kind), layers.weight_changes(model, parameters)
    base = method.merge(model)
    with torch.no_grad():
        for name, change in changes.items():
            base.get_submodule(name).weight += change  # type: ignore[operator] # a layer's weight is a tensor
    torch.testing.assert_close(said(base, kind), wanted, rtol=1e-10, atol=1e-10)


def test_there_is_no_dropout_on_it_and_gradients_pass_through(make_random_model: Make) -> None:
    method = Lora(rank=2, dropout=0.9, targets=("query",))
    model = method.attach(make_random_model("bert"))
    parameters, layers = method.trainable(model), CarriedLayers()
    layers.put(model, parameters, change_of(parameters, 3))
    plain = said(model.eval(), "bert")
    for module in model.modules():
        if isinstance(module, nn.Dropout) and module.p == 0.9:
            module.train()  # LoRA's own, which drops nothing of a pair whose B is 0
    assert torch.equal(said(model, "bert"), plain)
    model(**given("bert")).last_hidden_state.sum().backward()
    assert all(p.grad is not None for name, p in parameters.items() if "lora_B" in name)


def test_what_is_beside_no_layer_is_an_error_and_nothing_stays(make_random_model: Make) -> None:
    method = Lora(rank=2, targets=("query",))
    model = method.attach(make_random_model("bert"))
    parameters, layers = method.trainable(model), CarriedLayers()
    plain, good = said(model.eval(), "bert"), change_of(parameters, 1)
    layers.put(model, parameters, good)
    other = {name.replace("query", "value"): array for name, array in good.items()}
    with pytest.raises(SchemaError, match="beside no LoRA layer"):
        layers.put(model, parameters, other)
    assert layers.state == {}
    assert torch.equal(said(model, "bert"), plain)
