"""Prefix tuning: `virtual_tokens` trained key and value vectors in front of every layer's attention.

Li and Liang 2021, https://arxiv.org/abs/2101.00190. Without their reparametrisation the trained tensor is the table
P (virtual_tokens, layers * 2 * width) of keys and values itself, which are linear in it, so its mean is exact:
`aggregates_linearly` is True. With it, `projection = units`, P is W2 tanh(W1 E + b1) + b2 with E (virtual_tokens,
width), W1 (units, width) and W2 (layers * 2 * width, units) trained; then it is False, and peft cannot load what is
exported, since it saves P alone. width is the hidden size, or the keys' where heads share them. On MiniLM: 0.51 %.
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
    """Options: virtual_tokens >= 1, the number of trained positions; projection, the units of the network if any.

    Inputs get that much shorter where the model has no room for both.
    """

    virtual_tokens: Annotated[int, Field(ge=1)] = 25
    projection: Annotated[int, Field(ge=1)] | None = None

    @property
    def aggregates_linearly(self) -> bool:
        """Keys and values are the trained numbers themselves, unless a network makes them."""
        return self.projection is None

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Put the prefix in front of every layer."""
        from peft import PrefixTuningConfig

        _peft.check_reads_text(base, "prefix")
        config = PrefixTuningConfig(
            num_virtual_tokens=self.virtual_tokens,
            prefix_projection=self.projection is not None,
            encoder_hidden_size=self.projection,
        )
        return _peft.attach(base, config)

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the table, (virtual_tokens, layers * 2 * width), or E and the network's weights and biases."""
        return _peft.trainable(model)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model, which the prefix never changed."""
        return _peft.detach(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return peft's configuration."""
        return _peft.config_json(model)

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str] | None:
        """Return peft's name of the table in `adapter_model.safetensors`; of a network peft saves the output alone."""
        return None if self.projection is not None else dict.fromkeys(names, "prompt_embeddings")


build = Prefix
