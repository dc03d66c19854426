"""Prefix tuning: `virtual_tokens` trained key and value vectors in front of every layer's attention.

Li and Liang 2021, https://arxiv.org/abs/2101.00190, without their reparametrisation: the trained tensor is the table
(virtual_tokens, layers * 2 * hidden) itself. The keys and values are linear in it, so its mean is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any  # peft's configuration is JSON

from pydantic import Field

from common.peft_methods import _peft

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Prefix:
    """Options: virtual_tokens >= 1, the number of trained positions; inputs get that much shorter."""

    virtual_tokens: Annotated[int, Field(ge=1)] = 25

    @property
    def aggregates_linearly(self) -> bool:
        """Keys and values are the trained numbers themselves."""
        return True

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Put the prefix in front of every layer."""
        from peft import PrefixTuningConfig, TaskType

        _peft.check_reads_text(base, "prefix")
        config = PrefixTuningConfig(
            task_type=TaskType.FEATURE_EXTRACTION, num_virtual_tokens=self.virtual_tokens, prefix_projection=False
        )
        return _peft.attach(base, config)

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the table, (virtual_tokens, layers * 2 * hidden)."""
        return _peft.trainable(model)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model, which the prefix never changed."""
        return _peft.detach(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return peft's configuration."""
        return _peft.config_json(model)

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return peft's name of the table in `adapter_model.safetensors`."""
        return dict.fromkeys(names, "prompt_embeddings")


build = Prefix
