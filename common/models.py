"""Loading a base model and its tokenizer: safetensors only, no remote code, everything frozen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any  # transformers' classes are untyped here

from common.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


def load_base(folder: Path, *, attention: str = "eager") -> nn.Module:
    """Return the base model of `folder` in float32 on the CPU, every parameter frozen.

    attention: `eager` or `sdpa`, transformers' attention implementation; it changes the bytes of a result.
    """
    import torch
    from transformers import AutoModel

    try:
        model = AutoModel.from_pretrained(
            folder,
            attn_implementation=attention,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            **_without_pooler(folder),
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"base model in {folder.name!r} does not load: {str(error).splitlines()[0]}") from None
    model.requires_grad_(False)
    module: nn.Module = model.eval()
    return module


def _without_pooler(folder: Path) -> dict[str, Any]:
    """BERT's pooler is never used (masked mean pooling is better), so it is not loaded, counted or exported."""
    from transformers import AutoConfig

    kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    return {"add_pooling_layer": False} if kind in {"bert", "roberta", "electra", "camembert", "xlm-roberta"} else {}


def load_tokenizer(folder: Path) -> Any:
    """Return the fast tokenizer of `folder`."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)


def count_parameters(module: nn.Module) -> int:
    """Return the number of elements of all parameters."""
    return sum(p.numel() for p in module.parameters())
