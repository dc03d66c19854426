"""What the methods built on the peft library share: attach, canonical names, configuration as JSON."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any  # peft's classes are untyped here

from common.errors import StudyError
from common.peft_methods._targets import kind_of

if TYPE_CHECKING:
    from torch import nn

ADAPTER = "default"
WRAPPER = "base_model.model."


def attach(base: nn.Module, config: Any) -> nn.Module:
    """Wrap `base` with peft, whose task type is that of the base model."""
    from peft import get_peft_model

    config.task_type = task_type(base)

    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for an attribute by its old name; nothing of ours can change that.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        model: nn.Module = get_peft_model(base, config, adapter_name=ADAPTER)
    return model


def task_type(base: Any) -> Any:
    """Return peft's task type: feature extraction, the head being fedpeft's own, unless the base model writes text."""
    from peft import TaskType

    return TaskType.CAUSAL_LM if base.can_generate() else TaskType.FEATURE_EXTRACTION


def check_reads_text(base: Any, method: str) -> None:
    """Raise StudyError unless `base` embeds tokens, among which `method` puts virtual ones."""
    if not hasattr(base.config, "vocab_size"):
        raise StudyError(
            f"peft.method = {method!r} puts virtual tokens into a text, and the base model ({kind_of(base)}) reads "
            "none; expected a model of text, or a method that changes layers, such as lora"
        )


def canonical(name: str, *, wrapper: str = WRAPPER) -> str:
    """Return peft's parameter name without its wrapper and adapter name.

    >>> canonical("base_model.model.encoder.layer.0.attention.self.query.lora_A.default.weight")
    'encoder.layer.0.attention.self.query.lora_A.weight'
    >>> canonical("base_model.model.encoder.layer.0.attention.self.query.base_layer.bias")
    'encoder.layer.0.attention.self.query.bias'
    """
    return ".".join(part for part in name.removeprefix(wrapper).split(".") if part not in (ADAPTER, "base_layer"))


def _wrapper(model: Any) -> str:
    """Return how peft's names start; with virtual tokens it wraps once, and a `model.` after that is the base's own."""
    return WRAPPER if hasattr(getattr(model, "base_model", None), "unload") else "base_model."


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that peft made trainable, by canonical name.

    Named parameters, not `get_peft_model_state_dict`, which loses tensors of some methods (peft 0.21).
    """
    wrapper = _wrapper(model)
    return {canonical(name, wrapper=wrapper): p for name, p in model.named_parameters() if p.requires_grad}


def detach(model: Any) -> nn.Module:
    """Return the base model without peft's layers."""
    base: nn.Module = model.unload() if hasattr(model.base_model, "unload") else model.base_model
    return base


def merge(model: Any) -> nn.Module:
    """Return the base model with what peft's layers change added to its weights."""
    base: nn.Module = model.merge_and_unload()
    return base


def config_json(model: Any) -> dict[str, Any]:
    """Return the adapter's configuration as plain JSON, free of local paths."""
    return plain_config(model.peft_config[ADAPTER])


def plain_config(config: Any) -> dict[str, Any]:
    """Return a configuration of peft's as plain JSON, free of local paths."""
    content = config.to_dict()
    content.update(base_model_name_or_path=None, inference_mode=True, auto_mapping=None)
    plain: dict[str, Any] = json.loads(json.dumps(content, default=_plain))
    return plain


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set) else str(getattr(value, "value", value))
