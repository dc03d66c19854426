"""AdaLoRA with a fixed budget: h = W0 x + (alpha / rank) P (e * (Q x)), with P (out, rank), e (rank,) and Q (rank, in).

Zhang et al. 2023, https://arxiv.org/abs/2303.10512, formula 3. Its singular-value form only: every layer keeps its
rank, because the pruning there needs importances over all of one site's steps, and sites would prune differently, so
that shapes or masks would no longer agree. Nor is there its penalty on P and Q for not being orthogonal. e starts at
zero. On MiniLM: 0.33 %. A product of three is averaged: `aggregates_linearly` is False.
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
class Adalora:
    """Options: rank >= 1, alpha (default 2 rank), dropout in [0, 1), targets: the ends of the layers' names.

    Without targets: the attention's query and value, whatever the architecture calls them.
    """

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] | None = None

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """A product of three factors is averaged factor by factor."""
        return False

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Add the three factors to every layer whose name ends in one of the targets."""
        from peft import AdaLoraConfig

        ends = _targets.choose(base, self.targets, _targets.QUERY_AND_VALUE)
        layers = _targets.matching(base, ends)
        _targets.check_rank(layers, self.rank)
        config = AdaLoraConfig(
            init_r=self.rank,
            target_r=self.rank,
            total_step=1,  # peft asks for it; its schedule of pruning is never stepped
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(ends),
            fan_in_fan_out=any(layer.transposed for layer in layers.values()),
        )
        return _peft.attach(base, config)

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return Q, `<layer>.lora_A` (rank, in), P, `<layer>.lora_B` (out, rank), and e, `<layer>.lora_E` (rank, 1)."""
        return _peft.trainable(model)

    def is_exempt(self, name: str) -> bool:
        """The factors are a change of the frozen weight: decay would undo it, whatever the weight is."""
        return "lora_" in name

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model with its own layers."""
        return _peft.detach(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return peft's configuration."""
        return _peft.config_json(model)

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return peft's names: the wrapper's prefix in front."""
        return {name: _peft.WRAPPER + name for name in names}


build = Adalora
