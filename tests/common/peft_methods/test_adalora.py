"""AdaLoRA's three factors, at a fixed rank."""

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


def test_a_layer_computes_zhang_s_formula_3(open_bench: Open) -> None:
    bench = open_bench("peft={method='adalora', rank=3, alpha=6}")
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=a.shape).astype(np.float32) for name, a in bench.read().items()}
    bench.write(state)
    q, p, e = (state[f"{LAYER}.lora_{part}"] for part in "ABE")
    assert (q.shape, p.shape, e.shape) == ((3, 32), (32, 3), (3, 1))
    layer = bench.model.get_submodule(f"base_model.model.{LAYER}")
    x = rng.normal(size=(4, 32)).astype(np.float32)
    w0, bias = layer.base_layer.weight.numpy(), layer.base_layer.bias.numpy()
    expected = x @ (w0 + 2 * p @ np.diag(e[:, 0]) @ q).T + bias
    with torch.inference_mode():
        np.testing.assert_allclose(layer(torch.from_numpy(x)).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_it_starts_from_the_base_model(open_bench: Open) -> None:
    state = open_bench("peft={method='adalora'}").read()
    assert all(array.any() != name.endswith("lora_E") for name, array in state.items() if "lora_" in name)


def test_a_rank_above_a_layer_s_size_is_refused(make_random_model: Make) -> None:
    method = plugins.build("common.peft_methods", "adalora", {"rank": 17}, key="peft.method")
    with pytest.raises(StudyError, match=r"peft.rank = 17"):
        method.attach(make_random_model("llama"))
