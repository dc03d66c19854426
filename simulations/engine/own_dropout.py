"""Attention whose dropout can be each client's own, on a GPU too."""

from __future__ import annotations

from pathlib import Path
from typing import Any  # transformers' configs are untyped

from client.execution import Execution, by_row
from common.models import base_class
from common.tasks import Architecture


def with_own_dropout(execution: Execution, base: Path, architecture: Architecture) -> Execution:
    """Return the same with attention in plain steps where the base model in `base` drops its weights in training.

    A fused kernel draws inside of itself, from one generator for all rows of a batch: a client in a group would drop
    other weights than alone.
    """
    if execution.attention == "eager" or not drops_weights(base_class(base, architecture)[1]):
        return execution
    return by_row(execution)


def drops_weights(config: Any) -> bool:
    """Whether a config has dropout of attention weights, whatever its architecture calls it."""
    named = {name: value for name, value in config.to_dict().items() if "drop" in name and "att" in name}
    return any(bool(value) for value in named.values())
