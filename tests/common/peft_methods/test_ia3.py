"""(IA)^3 scales outputs of keys and values, and inputs of the feed-forward part's last layer."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from common import plugins
from common.errors import StudyError
from common.workbench import Workbench

Open = Callable[..., Workbench]
Make = Callable[[str], nn.Module]
LAYER = "encoder.layer.0.attention.self.query"


def test_outputs_and_inputs_are_scaled(open_bench: Open) -> None:
    bench = open_bench("peft={method='ia3'}")
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=a.shape).astype(np.float32) for name, a in bench.read().items()}
    bench.write(state)
    for layer, outputs in (("attention.self.key", True), ("output.dense", False)):
        name = f"encoder.layer.1.{layer}"
        module, scale = bench.model.get_submodule(f"base_model.model.{name}"), state[f"{name}.ia3_l"].reshape(-1)
        w0, bias = module.base_layer.weight.numpy(), module.base_layer.bias.numpy()
        x = rng.normal(size=(4, w0.shape[1])).astype(np.float32)
        expected = scale * (x @ w0.T + bias) if outputs else (scale * x) @ w0.T + bias
        with torch.inference_mode():
            np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_the_attention_s_own_output_is_not_scaled(open_bench: Open) -> None:
    names = [name for name in open_bench("peft={method='ia3'}").parameters if "ia3_l" in name]
    assert len(names) == 2 * 3
    assert not [name for name in names if "attention.output" in name]


def test_it_starts_from_the_base_model(open_bench: Open) -> None:
    state = open_bench("peft={method='ia3'}").read()
    assert all((array == 1).all() for name, array in state.items() if "ia3_l" in name)


def test_a_wrong_name_is_answered(make_random_model: Make) -> None:
    method = plugins.build("common.peft_methods", "ia3", {"feedforward": ["down_prj"]}, key="peft.method")
    with pytest.raises(StudyError, match=r"peft.feedforward: .*did you mean 'down_proj'"):
        method.attach(make_random_model("llama"))
