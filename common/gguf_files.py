"""From a GGUF file, as llama.cpp reads it, to a folder of safetensors that a study can name as its base model.

transformers reads GGUF where the package `gguf` is installed, and does not write such a model again: it counts as
quantised. So its numbers, which by then are plain ones, are written here, in bfloat16.
"""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any  # transformers' classes are untyped

from common.errors import ModelError
from common.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".gguf"


def gguf_in(place: Path) -> Path:
    """Return the GGUF file that `place` is, or that is the only one in the folder `place`. Raises ModelError."""
    if place.is_file() and place.suffix == SUFFIX:
        return place
    found = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else []
    if len(found) != 1:
        raise ModelError(
            f"{place}: found {len(found)} files {SUFFIX}, expected a file {SUFFIX}, or a folder with one; name the file"
        )
    return found[0]


def convert(file: Path, out: Path) -> None:
    """Write the decoder in the GGUF `file` to the new folder `out`: weights, configuration and tokenizer.

    `config.json` comes last: where it is, the model is whole.

    Raises:
        ModelError: the package gguf is missing, `file` is no decoder that transformers knows, or `out` is not empty.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ModelError("reading GGUF needs the package gguf, not installed here; pip install 'fedpeft[gguf]'")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out} is there already and not an empty folder; name a new one with --out")
    model, tokenizer = _read(file)
    weights, config = _distinct(model), model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures, config.dtype = [type(model).__name__], "bfloat16"
    out.mkdir(parents=True, exist_ok=True)
    _write_weights(weights, out / "model.safetensors")
    tokenizer.save_pretrained(out)
    write_bytes(out / "config.json", config.to_json_string().encode())


def _read(file: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    given = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **given)
        return AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **given), tokenizer
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, struct.error) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ModelError(
            f"{file.name} does not load: {reason}; expected a decoder in GGUF whose architecture transformers reads"
        ) from None


def _distinct(model: Any) -> dict[str, Tensor]:
    """Return the model's tensors; those that are another one once more, such as a tied output layer, are left out."""
    own = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    return {name: tensor for name, tensor in model.state_dict().items() if name in own}


def _write_weights(weights: dict[str, Tensor], path: Path) -> None:
    import torch
    from safetensors.torch import save

    plain = {name: t.to(torch.bfloat16).contiguous() if t.is_floating_point() else t for name, t in weights.items()}
    write_bytes(path, save(plain, metadata={"format": "pt"}))
