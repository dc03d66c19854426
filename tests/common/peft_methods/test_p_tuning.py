"""P-tuning sends its whole network, of either kind."""

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


def test_the_words_are_the_network_s_output(open_bench: Open) -> None:
    bench = open_bench("peft={method='p-tuning', virtual_tokens=3, units=6}")
    state = {name.removeprefix("prompt_encoder."): array for name, array in bench.read().items()}
    layers = [(state[f"mlp_head.{i}.weight"], state[f"mlp_head.{i}.bias"]) for i in (0, 2, 4)]
    words = state["embedding.weight"]
    for index, (weight, bias) in enumerate(layers):
        words = words @ weight.T + bias
        words = np.maximum(words, 0) if index < 2 else words
    with torch.inference_mode():
        found = bench.model.get_prompt(batch_size=1)[0].numpy()
    np.testing.assert_allclose(found, words, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("encoder", "count"), [("mlp", 1 + 6), ("lstm", 1 + 16 + 4)])
def test_every_number_of_the_network_travels(encoder: str, count: int, open_bench: Open) -> None:
    """Two layers of an LSTM, both ways, have 4 tensors each; the MLP after it has two layers, and alone three."""
    bench = open_bench(f"peft={{method='p-tuning', virtual_tokens=3, units=6, encoder='{encoder}'}}")
    assert len(bench.parameters) == count + 2
    assert bench.method.peft_names(list(bench.parameters)) is None


def test_an_image_has_no_place_for_words(make_random_model: Make) -> None:
    with pytest.raises(StudyError, match=r"\(vit\) reads none"):
        plugins.build("common.peft_methods", "p-tuning", {}, key="peft.method").attach(make_random_model("vit"))
