"""Loading a base model and its tokenizer: safetensors only, no remote code, everything frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any  # transformers' classes are untyped here

from common.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from common.tasks import Architecture

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def auto_class(architecture: Architecture) -> Any:
    """Return transformers' class that loads, or makes from a config, a base model for such tasks."""
    from transformers import AutoModel, AutoModelForCausalLM

    return AutoModelForCausalLM if architecture == "causal-lm" else AutoModel


def hidden_size(base: Any) -> int:
    """Return the width of the base model's last hidden states; convolutional models list one for each stage."""
    config = base.config
    return int(config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1])


def load_base(folder: Path, *, attention: str = "eager", architecture: Architecture = "encoder") -> nn.Module:
    """Return the base model of `folder` in float32 on the CPU, every parameter frozen.

    attention: `eager` or `sdpa`, transformers' attention implementation; it changes the bytes of a result.
    """
    import torch
    from safetensors import SafetensorError

    try:
        model, found = auto_class(architecture).from_pretrained(
            folder,
            attn_implementation=attention,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,  # said, or transformers asks on the terminal whether it may
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **_without_pooler(folder, architecture),
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unreadable(folder, error) from None
    _check_whole(folder, found)
    if architecture == "causal-lm":
        _write_plainly(model)
    model.requires_grad_(False)
    module: nn.Module = model.eval()
    return module


def _unreadable(folder: Path, error: Exception) -> ModelError:
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return ModelError(f"base model in {folder.name!r} does not load: {reason}")


def _check_whole(folder: Path, found: Mapping[str, Any]) -> None:
    """Weights that a file lacks, or has in another shape, transformers draws at random, which no one asked for."""
    lacking = sorted({*found["missing_keys"], *(str(name) for name, *_ in found["mismatched_keys"])})
    if lacking:
        raise ModelError(
            f"base model in {folder.name!r} does not load: its files lack {lacking[0]!r} in the shape that its "
            f"config.json says ({len(lacking)} such); is it a whole model, with its own config.json?"
        )


def _write_plainly(model: Any) -> None:
    """What a folder says of sampling and penalties is not in its digest, so sites would write different texts."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()


def _without_pooler(folder: Path, architecture: Architecture) -> dict[str, Any]:
    """BERT's pooler is never used (masked mean pooling is better), so it is not loaded, counted or exported."""
    from transformers import AutoConfig

    kind = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type
    is_bert = kind in {"bert", "roberta", "electra", "camembert", "xlm-roberta"}
    return {"add_pooling_layer": False} if is_bert and architecture == "encoder" else {}


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
