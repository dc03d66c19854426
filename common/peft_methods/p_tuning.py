"""P-tuning: virtual words in front of the text, made by a small network from trained embeddings.

Word i is MLP(e_i), with e (virtual_tokens, hidden) and the MLP hidden -> units -> units -> hidden trained; with
`encoder = "lstm"` it is MLP(LSTM(e))_i, both ways over the words. Liu et al. 2021, https://arxiv.org/abs/2103.10385.
On MiniLM: 2.0 %. Every number of the network is exchanged; peft saves its output alone, so peft cannot load what
is exported. The words are not linear in those numbers: `aggregates_linearly` is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal  # peft's configuration is JSON

from pydantic import Field

from common.peft_methods import _peft

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class PTuning:
    """Options: virtual_tokens >= 1, units of the network (default: the model's hidden size), encoder: mlp or lstm."""

    virtual_tokens: Annotated[int, Field(ge=1)] = 20
    units: Annotated[int, Field(ge=1)] | None = None
    encoder: Literal["mlp", "lstm"] = "mlp"

    @property
    def aggregates_linearly(self) -> bool:
        """The words are a network's output, and not linear in its weights."""
        return False

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Put the words in front of every text."""
        from peft import PromptEncoderConfig

        _peft.check_reads_text(base, "p-tuning")
        config = PromptEncoderConfig(
            num_virtual_tokens=self.virtual_tokens,
            encoder_reparameterization_type=self.encoder.upper(),
            encoder_hidden_size=self.units,
        )
        return _peft.attach(base, config)

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the embeddings, (virtual_tokens, hidden), and the network's weights and biases."""
        return _peft.trainable(model)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model, which the words never changed."""
        return _peft.detach(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return peft's configuration."""
        return _peft.config_json(model)

    def peft_names(self, names: Sequence[str]) -> None:  # noqa: ARG002 - for no names
        """Peft's file holds the network's output, which is no renaming of its tensors."""
        return None


build = PTuning
