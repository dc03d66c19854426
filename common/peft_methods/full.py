"""Full fine-tuning: every tensor of the base model is trained, with nothing added.

W <- W0 + D, with D of the shape of W0, for each tensor. The upper bound that the others are compared with (Howard and
Ruder 2018, https://arxiv.org/abs/1801.06146), and not parameter-efficient: on MiniLM 100 %, and a message as large as
the model. A real site refuses it unless its policy names it, since so large an update says the most of single
patients. The tensors are the weights themselves, so their mean is exact: `aggregates_linearly` is True.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.peft_methods import _own

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Full:
    """No options."""

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """The weights themselves are averaged."""
        return True

    @property
    def wraps(self) -> bool:
        """The base model's own tensors are trained in place."""
        return False

    def attach(self, base: nn.Module) -> nn.Module:
        """Make every tensor trainable, and keep a copy of each."""
        return _own.thaw(base, [name for name, _ in base.named_parameters()])

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return every tensor of the base model."""
        return _own.trainable(model)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model with its original tensors."""
        return _own.restore(model)

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the base model as it was trained."""
        return _own.merge(model)

    def adapter_config(self, model: nn.Module) -> None:  # noqa: ARG002 - for no model
        """PEFT has no such method."""
        return None

    def peft_names(self, names: Sequence[str]) -> None:  # noqa: ARG002 - for no names
        """PEFT has no such method."""
        return None


build = Full
