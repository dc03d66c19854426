"""LoRA: h = W0 x + (alpha / rank) B A x, with A (rank, in) and B (out, rank) trained and W0 frozen.

Hu et al. 2022, https://arxiv.org/abs/2106.09685, formula 3. B starts at zero, A as peft draws it. Averaging A and B
apart is not the average of the products: `aggregates_linearly` is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any  # peft's configuration is JSON

from pydantic import Field

from common.errors import StudyError
from common.peft_methods import _peft

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Lora:
    """Options: rank >= 1, alpha (default 2 rank), dropout in [0, 1), targets: the ends of the linear layers' names."""

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] = ("query", "value")

    @property
    def virtual_tokens(self) -> int:
        """LoRA takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """The product B A is bilinear in what is averaged."""
        return False

    def attach(self, base: nn.Module) -> nn.Module:
        """Add the factors to every linear layer whose name ends in one of `targets`."""
        from peft import LoraConfig, TaskType

        names = [name for name, _ in base.named_modules()]
        missing = [t for t in self.targets if not any(n == t or n.endswith(f".{t}") for n in names)]
        if missing:
            leaves = sorted({n.rpartition(".")[2] for n in names if n} - {""})
            found = ", ".join(leaves[:20])
            raise StudyError(f"peft.targets: the base model has no layer {missing[0]!r}; it has: {found}")
        config = LoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION,
            r=self.rank,
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(self.targets),
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
