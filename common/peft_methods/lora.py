"""LoRA: h = W0 x + (alpha / rank) B A x, with A (rank, in) and B (out, rank) trained and W0 frozen.

Hu et al. 2022, https://arxiv.org/abs/2106.09685, formula 3. B starts at zero, A as peft draws it. Averaging A and B
apart is not the average of the products: `aggregates_linearly` is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any  # peft's configuration is JSON

from pydantic import Field

from common.peft_methods import _peft, _targets

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Lora:
    """Options: rank >= 1, alpha (default 2 rank), dropout in [0, 1), targets: the ends of the layers' names.

    Without targets: the attention's query and value, whatever the architecture calls them.
    """

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] | None = None

    @property
    def virtual_tokens(self) -> int:
        """LoRA takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """The product B A is bilinear in what is averaged."""
        return False

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Add the factors to every linear layer whose name ends in one of `targets`."""
        from peft import LoraConfig, TaskType

        ends = _targets.choose(base, self.targets, _targets.QUERY_AND_VALUE)
        layers = _targets.matching(base, ends)
        _targets.check_rank(layers, self.rank)
        config = LoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION,
            r=self.rank,
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(ends),
            fan_in_fan_out=any(layer.transposed for layer in layers.values()),
        )
        return _peft.attach(base, config)

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return `<layer>.lora_A.weight` (rank, in) and `<layer>.lora_B.weight` (out, rank)."""
        return _peft.trainable(model)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model with its own linear layers."""
        return _peft.detach(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return peft's configuration."""
        return _peft.config_json(model)

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return peft's names: the wrapper's prefix in front."""
        return {name: _peft.WRAPPER + name for name in names}


build = Lora
