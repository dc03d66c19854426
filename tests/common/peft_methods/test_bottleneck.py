"""A bottleneck starts as the identity, and computes h + U act(D h)."""

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


@pytest.mark.parametrize(("activation", "act"), [("relu", lambda x: np.maximum(x, 0)), ("tanh", np.tanh)])
def test_a_layer_s_output_passes_through_the_bottleneck(
    activation: str, act: Callable[[np.ndarray], np.ndarray], open_bench: Open
) -> None:
    bench = open_bench(f"peft={{method='bottleneck', reduction=4, activation='{activation}'}}")
    rng, name = np.random.default_rng(0), "encoder.layer.0.attention.output.dense"
    state = {each: rng.normal(size=a.shape).astype(np.float32) for each, a in bench.read().items()}
    bench.write(state)
    down, up = (state[f"{name}.bottleneck.{part}.weight"] for part in ("down", "up"))
    down_bias, up_bias = (state[f"{name}.bottleneck.{part}.bias"] for part in ("down", "up"))
    assert down.shape == (8, 32)
    layer = bench.model.get_submodule(name)
    x = rng.normal(size=(4, 32)).astype(np.float32)
    h = x @ layer.weight.numpy().T + layer.bias.numpy()
    with torch.inference_mode():
        found = layer(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, h + act(h @ down.T + down_bias) @ up.T + up_bias, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["bert", "llama", "gpt2", "vit"])
@pytest.mark.parametrize(("placement", "count"), [("houlsby", 2 * 2 * 4), ("pfeiffer", 2 * 4)])
def test_it_starts_as_the_identity(placement: str, count: int, kind: str, make_random_model: Make) -> None:
    base = make_random_model(kind)
    method = plugins.build("common.peft_methods", "bottleneck", {"placement": placement}, key="peft.method")
    given = {"pixel_values": torch.ones(1, 3, 16, 16)} if kind == "vit" else {"input_ids": torch.tensor([[3, 4]])}
    before = base(**given).last_hidden_state
    model = method.attach(base)
    assert torch.equal(model(**given).last_hidden_state, before)
    assert len(method.trainable(model)) == count


def test_a_reduction_to_nothing_is_refused(open_bench: Open) -> None:
    with pytest.raises(StudyError, match=r"peft.reduction = 33 is above .* at most 32"):
        open_bench("peft={method='bottleneck', reduction=33}")
