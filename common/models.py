"""Loading a base model and its tokenizer: safetensors only, no remote code, everything frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any  # transformers' classes are untyped here

from common import plugins
from common.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from common.tasks import Architecture

OWN = "common.architectures"
WITH_POOLER: Mapping[str, Sequence[str]] = {
    "encoder": ("bert", "roberta", "electra", "camembert", "xlm-roberta"),
    "image": ("vit", "deit", "beit", "ijepa"),
}
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def auto_class(architecture: Architecture) -> Any:
    """Return transformers' class that loads, or makes from a config, a base model for such tasks."""
    from transformers import AutoModel, AutoModelForCausalLM

    return AutoModelForCausalLM if architecture == "causal-lm" else AutoModel


def hidden_size(base: Any) -> int:
    """Return the width of the base model's last hidden states; convolutional models list one for each stage."""
    config = base.config
    return int(config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1])


def model_type(folder: Path) -> str:
    """Return what the folder's config.json says it is."""
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str(content.get("model_type", "")) if isinstance(content, dict) else ""


def base_class(folder: Path, architecture: Architecture) -> tuple[Any, Any]:
    """Return the class that loads the base model in `folder`, and its config: transformers', or one of ours."""
    from transformers import AutoConfig

    kind = model_type(folder)
    if kind in plugins.available(OWN):
        ours = plugins.load(OWN, kind, key="model_type").model_class()
        return ours, ours.config_class.from_pretrained(folder, local_files_only=True)
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return auto_class(architecture), config


def empty_base(folder: Path, architecture: Architecture) -> Any:
    """Return the base model of `folder` on torch's meta device: shapes without memory, and no weight is read."""
    import torch

    found, config = base_class(folder, architecture)
    with torch.device("meta"), _undrawn():
        if hasattr(found, "from_config"):
            return found.from_config(config, trust_remote_code=False)
        return found(config)


def load_base(folder: Path, *, attention: str = "eager", architecture: Architecture = "encoder") -> nn.Module:
    """Return the base model of `folder` in float32 on the CPU, every parameter frozen.

    attention: `eager` or `sdpa`, transformers' attention implementation; it changes the bytes of a result. A model
    without attention has none.
    """
    import torch
    from safetensors import SafetensorError

    try:
        found_class, config = base_class(folder, architecture)
        with _undrawn():
            model, found = found_class.from_pretrained(
                folder,
                attn_implementation=_attention(config, attention),
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,  # said, or transformers asks on the terminal whether it may
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **_without_pooler(config, architecture),
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unreadable(folder, error) from None
    _check_whole(folder, found, architecture)
    return _frozen(model, architecture)


def _undrawn() -> AbstractContextManager[object]:
    """Return a context in which tensors on the meta device are not initialised: torch's way there loads sympy.

    They have no values. A model is made of such before it gets those of its file.
    """
    from torch.overrides import TorchFunctionMode

    class Undrawn(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            named = kwargs or {}
            tensor = named.get("tensor", args[0] if args else None)
            if getattr(func, "__module__", None) == "torch.nn.init" and getattr(tensor, "is_meta", False):
                return tensor
            return func(*args, **named)

    return Undrawn()


def base_of_weights(
    folder: Path, weights: Mapping[str, Tensor], *, attention: str = "eager", architecture: Architecture = "encoder"
) -> nn.Module:
    """Return the same as `load_base` of the config in `folder` with these weights, by the names that a file has."""
    import torch

    found_class, config = base_class(folder, architecture)
    make = getattr(found_class, "from_config", None) or found_class._from_config
    with torch.random.fork_rng(devices=[]):  # what is drawn is overwritten
        model = make(config, attn_implementation=_attention(config, attention), **_without_pooler(config, architecture))
    lacking = set(model.load_state_dict(dict(weights), strict=False).missing_keys)
    model.tie_weights()
    given = {id(tensor) for name, tensor in model.named_parameters(remove_duplicate=False) if name not in lacking}
    own = dict(model.named_parameters(remove_duplicate=False))
    untied = {name for name in lacking if name not in own or id(own[name]) not in given}
    _check_whole(folder, {"missing_keys": untied, "mismatched_keys": ()}, architecture)
    return _frozen(model.float(), architecture)


def _attention(config: Any, wanted: str) -> str:
    return wanted if hasattr(config, "num_attention_heads") else "eager"


def _frozen(model: Any, architecture: Architecture) -> nn.Module:
    if architecture == "causal-lm":
        _write_plainly(model)
    model.requires_grad_(False)
    module: nn.Module = model.eval()
    return module


def _unreadable(folder: Path, error: Exception) -> ModelError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return ModelError(f"base model in {folder.name!r} does not load: {reason}")


def _check_whole(folder: Path, found: Mapping[str, Any], architecture: Architecture) -> None:
    """Weights that a file lacks, or has in another shape, transformers draws at random, which no one asked for."""
    lacking = sorted({*found["missing_keys"], *(str(name) for name, *_ in found["mismatched_keys"])})
    if lacking:
        raise ModelError(
            f"base model in {folder.name!r} does not load: its files lack {lacking[0]!r} in the shape that its "
            f"config.json says ({len(lacking)} such); is it a whole model, with its own config.json, and can this "
            f"{model_type(folder)!r} do what the task needs, {architecture}?"
        )


def _write_plainly(model: Any) -> None:
    """What a folder says of sampling and penalties is not in its digest, so sites would write different texts."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()


def _without_pooler(config: Any, architecture: Architecture) -> dict[str, Any]:
    """A pooler is never used (a mean is better), so it is not loaded, counted or exported."""
    return {"add_pooling_layer": False} if config.model_type in WITH_POOLER.get(architecture, ()) else {}


def load_tokenizer(folder: Path) -> Any:
    """Return the fast tokenizer of `folder`."""
    from transformers import AutoTokenizer

    if not any(path.match(pattern) for path in folder.iterdir() for pattern in VOCABULARIES):
        # transformers would make a tokenizer that knows no word.
        raise ModelError(
            f"base model folder {folder.name!r} has no tokenizer; expected one of {', '.join(VOCABULARIES)}"
        )
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_fast=True)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from None
