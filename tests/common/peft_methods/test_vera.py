"""VeRA's formula, with projections that the seed alone decides."""

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


def test_a_layer_computes_kopiczko_s_formula_2(open_bench: Open) -> None:
    bench = open_bench("peft={method='vera', rank=5}")
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=a.shape).astype(np.float32) for name, a in bench.read().items()}
    bench.write(state)
    b, d = state[f"{LAYER}.vera_lambda_b"], state[f"{LAYER}.vera_lambda_d"]
    assert (b.shape, d.shape) == ((32,), (5,))
    layer = bench.model.get_submodule(f"base_model.model.{LAYER}")
    big_a, big_b = layer.vera_A["default"].numpy(), layer.vera_B["default"].numpy()
    x = rng.normal(size=(4, 32)).astype(np.float32)
    w0, bias = layer.base_layer.weight.numpy(), layer.base_layer.bias.numpy()
    expected = x @ (w0 + np.diag(b) @ big_b @ np.diag(d) @ big_a).T + bias
    with torch.inference_mode():
        np.testing.assert_allclose(layer(torch.from_numpy(x)).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_projections_are_of_their_own_seed_and_never_sent(open_bench: Open) -> None:
    def projection(options: str, seed: int) -> np.ndarray:
        bench = open_bench(f"peft={{method='vera', rank=5{options}}}", seed=seed)
        assert not [name for name in bench.parameters if "vera_A" in name or "vera_B" in name]
        return bench.model.get_submodule(f"base_model.model.{LAYER}").vera_A["default"].numpy()

    assert np.array_equal(projection("", 0), projection("", 1))
    assert not np.array_equal(projection("", 0), projection(", projection_seed=1", 0))


def test_it_starts_from_the_base_model(open_bench: Open) -> None:
    state = open_bench("peft={method='vera'}").read()
    assert not any(array.any() for name, array in state.items() if "lambda_b" in name)


def test_a_name_of_no_layer_is_answered(make_random_model: Make) -> None:
    method = plugins.build("common.peft_methods", "vera", {"targets": ["q"]}, key="peft.method")
    with pytest.raises(StudyError, match="no layer 'q'"):
        method.attach(make_random_model("llama"))
