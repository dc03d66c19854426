"""Methods on a ResNet: factors beside convolutions, norms with running statistics, stages as blocks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor, nn

from common import plugins
from common.errors import StudyError
from common.files import write_json
from common.peft_methods import PeftMethod, RewritesForPeft

Make = Callable[[str], nn.Module]
PIXELS = torch.linspace(-9, 9, 2 * 3 * 32 * 32).sin().reshape(2, 3, 32, 32)
ONE_BY_ONE, THREE_BY_THREE = "encoder.stages.1.layers.0.shortcut.convolution", "stages.1.layers.0.layer.0.convolution"
SEEN = "encoder.stages.1.layers.0.layer.1.normalization.running_mean"


def method_of(name: str, **options: Any) -> PeftMethod:
    found: PeftMethod = plugins.build("common.peft_methods", name, options, key="peft.method")
    return found


def states(model: nn.Module) -> Tensor:
    found: Tensor = model(pixel_values=PIXELS).last_hidden_state
    return found


def randomised(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


@pytest.mark.parametrize(("end", "window"), [(ONE_BY_ONE, 1), (THREE_BY_THREE, 3)])
def test_lora_adds_one_convolution_after_another(end: str, window: int, make_random_model: Make) -> None:
    """The kernel's matrix (out, in * h * w) becomes W0 + (alpha / rank) B A, with the same stride and padding."""
    base = make_random_model("resnet")
    method = method_of("lora", rank=4, targets=[end])
    model = method.attach(base)
    found = randomised(method.trainable(model))
    (name,) = {each.partition(".lora_")[0] for each in found}
    a, b = found[f"{name}.lora_A.weight"], found[f"{name}.lora_B.weight"]
    assert (a.shape, b.shape) == ((4, 16, window, window), (32, 4, 1, 1))
    layer: Any = model.get_submodule(f"base_model.model.{name}")
    original = layer.base_layer
    kernel = original.weight + (2 * b.flatten(1) @ a.flatten(1)).view_as(original.weight)
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(2))
    expected = nn.functional.conv2d(x, kernel, stride=original.stride, padding=original.padding)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


# peft warns that the file lacks the norms' running statistics, which it has copied from the base model.
@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")
@pytest.mark.parametrize("name", ["lora", "adalora", "layer-norm"])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning")
def test_plain_peft_loads_what_is_trained_on_a_resnet(name: str, make_random_model: Make, tmp_path: Path) -> None:
    method = method_of(name)
    model = method.attach(make_random_model("resnet"))
    state = randomised(method.trainable(model))
    names = method.peft_names(list(state))
    assert names is not None
    if isinstance(method, RewritesForPeft):
        rewritten = method.for_peft({each: tensor.detach().numpy() for each, tensor in state.items()})
        state = {each: torch.tensor(array) for each, array in rewritten.items()}
    save_file({names[each]: tensor.detach() for each, tensor in state.items()}, tmp_path / "adapter_model.safetensors")
    write_json(tmp_path / "adapter_config.json", method.adapter_config(model))
    loaded = PeftModel.from_pretrained(make_random_model("resnet"), str(tmp_path)).eval()
    found, plain = states(model), make_random_model("resnet")
    assert torch.equal(states(loaded), found)
    assert not torch.equal(states(plain), found)


def test_layer_norm_trains_scale_and_shift_of_every_batch_norm(make_random_model: Make) -> None:
    base = make_random_model("resnet")
    norms = {name for name, module in base.named_modules() if isinstance(module, nn.BatchNorm2d)}
    method = method_of("layer-norm")
    assert set(method.trainable(method.attach(base))) == {f"{n}.{end}" for n in norms for end in ("weight", "bias")}


def test_bitfit_trains_what_biases_there_are(make_random_model: Make) -> None:
    base = make_random_model("resnet")
    method = method_of("bitfit")
    found = method.trainable(method.attach(base))
    assert set(found) == {name for name, _ in base.named_parameters() if name.endswith(".normalization.bias")} != set()


def test_the_last_layers_are_stages(make_random_model: Make) -> None:
    base = make_random_model("resnet")
    method = method_of("last-layers", layers=1)
    top = {name for name, _ in base.named_parameters() if name.startswith("encoder.stages.1.")}
    assert set(method.trainable(method.attach(base))) == top != set()


def test_what_is_for_linear_layers_only_says_so(make_random_model: Make) -> None:
    with pytest.raises(StudyError, match=r"peft.method = 'vera' is for linear .*'embedder.* is a convolution"):
        method_of("vera").attach(make_random_model("resnet"))
    with pytest.raises(StudyError, match=r"peft.init = 'orthogonal' is for linear layers"):
        method_of("lora", init="orthogonal").attach(make_random_model("resnet"))


@pytest.mark.parametrize("name", ["layer-norm", "full", "bitfit", "last-layers", "hybrid"])
def test_statistics_learned_with_trained_norms_are_given_back(name: str, make_random_model: Make) -> None:
    before = {each: tensor.clone() for each, tensor in make_random_model("resnet").state_dict().items()}
    method = method_of(name)
    model = method.attach(make_random_model("resnet"))
    for module in model.modules():
        module.train(isinstance(module, nn.BatchNorm2d) and any(p.requires_grad for p in module.parameters()))
    model(pixel_values=PIXELS)
    learned = [tensor for each, tensor in model.named_buffers() if each.endswith(SEEN)]
    assert len(learned) == 1
    assert not torch.equal(learned[0], before[SEEN])
    detached = method.detach(model).state_dict()
    assert set(detached) == set(before)
    assert all(torch.equal(detached[each], tensor) for each, tensor in before.items())
