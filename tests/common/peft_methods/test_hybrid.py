"""Two methods on one model: the tensors of both, each under its own name; and what cannot go together."""

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


def hybrid(first: str, second: str, **more: object) -> object:
    options = {"first": {"method": first}, "second": {"method": second, **more}}
    return plugins.build("common.peft_methods", "hybrid", options, key="peft.method")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lora", "layer-norm"),
        ("bitfit", "lora"),
        ("prompt", "bottleneck"),
        ("ia3", "last-layers"),
        ("bottleneck", "layer-norm"),
        ("adalora", "full"),
        ("head", "prefix"),
    ],
)
def test_the_tensors_are_those_of_both(first: str, second: str, open_bench: Open) -> None:
    both = open_bench(f"peft={{method='hybrid', first={{method='{first}'}}, second={{method='{second}'}}}}")
    apart = [set(open_bench(f"peft={{method='{name}'}}").parameters) for name in (first, second)]
    assert set(both.parameters) == apart[0] | apart[1]
    base = both.method.detach(both.model)
    assert not any(".base_layer" in name or "bottleneck" in name for name in base.state_dict())


@pytest.mark.parametrize(("first", "second", "name"), [("bitfit", "layer-norm", "bias"), ("full", "bitfit", "bias")])
def test_no_tensor_is_trained_twice(first: str, second: str, name: str, make_random_model: Make) -> None:
    base = make_random_model("bert")
    state = {each: tensor.clone() for each, tensor in base.state_dict().items()}
    with pytest.raises(StudyError, match=rf"both train '.*{name}'"):
        hybrid(first, second).attach(base)  # type: ignore[attr-defined] # built by name
    assert not any(p.requires_grad for p in base.parameters())
    assert all(torch.equal(tensor, state[each]) for each, tensor in base.state_dict().items())


def test_two_wrappers_are_refused() -> None:
    with pytest.raises(StudyError, match="lora and prefix are both wrappers"):
        hybrid("lora", "prefix")


def test_a_part_s_mistakes_are_told_with_its_place() -> None:
    with pytest.raises(StudyError, match=r"peft.second.method = 'bitfitt' does not exist"):
        hybrid("lora", "bitfitt")
    with pytest.raises(StudyError, match=r"peft.second.method = 'last-layers' has no option 'n'"):
        hybrid("lora", "last-layers", n=1)
    with pytest.raises(StudyError, match=r"peft.first: expected a table with `method`"):
        hybrid("hybrid", "bitfit")


def test_positions_add_and_exactness_is_of_both() -> None:
    found = hybrid("prompt", "bitfit")
    assert (found.virtual_tokens, found.aggregates_linearly) == (20, True)  # type: ignore[attr-defined]
    assert not hybrid("lora", "bitfit").aggregates_linearly  # type: ignore[attr-defined]


def test_a_text_starts_the_prompt_within(open_bench: Open) -> None:
    prompt = "{method='prompt', virtual_tokens=2, start_from='text', text='fever'}"
    bench = open_bench(f"peft={{method='hybrid', first={{method='bitfit'}}, second={prompt}}}")
    words = bench.model.base_model.embeddings.word_embeddings.weight.numpy()
    (fever,) = bench.reader("fever", add_special_tokens=False)["input_ids"]
    assert np.array_equal(bench.read()["prompt_encoder.embedding.weight"], words[[fever, fever]])
