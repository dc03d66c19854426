"""LoRA's own numbers: the weights that PEFT computes with are W0 + (alpha / rank) B A, by plain numpy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from common.errors import StudyError
from common.peft_methods.lora import Lora
from common.workbench import Workbench

LAYER = "encoder.layer.0.attention.self.query"


@pytest.mark.parametrize(("options", "scale"), [("rank=3", 2.0), ("rank=3, alpha=12", 4.0)])
def test_a_layer_computes_hu_s_formula_3(options: str, scale: float, open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench(f"peft={{method='lora', {options}}}")
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=a.shape).astype(np.float32) for name, a in bench.read().items()}
    bench.write(state)
    a, b = state[f"{LAYER}.lora_A.weight"], state[f"{LAYER}.lora_B.weight"]
    assert (a.shape, b.shape) == ((3, 32), (32, 3))
    layer = bench.model.get_submodule(f"base_model.model.{LAYER}")
    x = rng.normal(size=(5, 32)).astype(np.float32)
    w0, bias = layer.base_layer.weight.numpy(), layer.base_layer.bias.numpy()
    expected = x @ (w0 + scale * b @ a).T + bias
    with torch.inference_mode():
        found = layer(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_training_starts_from_the_base_model(open_bench: Callable[..., Workbench]) -> None:
    state = open_bench().read()
    assert all(not state[name].any() for name in state if "lora_B" in name)
    assert all(state[name].all() for name in state if "lora_A" in name)


def test_targets_choose_the_layers(open_bench: Callable[..., Workbench]) -> None:
    names = open_bench("peft={method='lora', targets=['key', 'output.dense']}").parameters
    layers = {name.partition(".lora_")[0].partition("layer.")[2] for name in names if "lora_" in name}
    inner = ("attention.self.key", "attention.output.dense", "output.dense")
    assert layers == {f"{number}.{name}" for number in (0, 1) for name in inner}


def test_a_target_that_is_not_there_is_answered_with_the_layers_that_are(
    open_bench: Callable[..., Workbench],
) -> None:
    with pytest.raises(StudyError, match=r"no layer 'uery'; it has: .*query.*value"):
        open_bench("peft={method='lora', targets=['query', 'uery']}")


def test_averaging_factors_is_not_averaging_products() -> None:
    # (1 * 1 + 3 * 3) / 2 = 5, while (1 + 3) / 2 * (1 + 3) / 2 = 4.
    assert not Lora().aggregates_linearly
    assert Lora().virtual_tokens == 0
