"""Writing generated base models of images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any  # transformers' classes are untyped

from common.files import write_bytes, write_json
from common.image_reader import PREPROCESSOR
from common.seeds import integer_seed

SEED = 4
SIDE = 32


def write_image_model(folder: Path, config: Any, make: Callable[[], Any]) -> None:
    """Write a model drawn from a fixed seed; `config.json` comes last: where it is, the model is whole."""
    import torch
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):  # transformers draws from the global generator only
        torch.manual_seed(integer_seed(SEED, purpose="quick images model"))
        weights = make().state_dict()
    write_bytes(folder / "model.safetensors", save(weights, metadata={"format": "pt"}))
    write_json(folder / PREPROCESSOR, {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    })  # fmt: skip
    write_bytes(folder / "config.json", config.to_json_string().encode())
