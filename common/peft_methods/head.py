"""Linear probe: only the task's head is trained, on the frozen base model's features.

y = W h + b, with h (hidden,) of the base model and W (classes, hidden), b (classes,) trained; the base model has no
trained tensors at all. Alain and Bengio 2016, https://arxiv.org/abs/1610.01644. On MiniLM: 0 % of the base model.
The head is linear in its weights, so its mean is exact: `aggregates_linearly` is True.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Head:
    """No options."""

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """The head's weights are what is averaged."""
        return True

    @property
    def wraps(self) -> bool:
        """The base model is used as it is."""
        return False

    def attach(self, base: nn.Module) -> nn.Module:
        """Return the base model, of which nothing is trained."""
        return base

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:  # noqa: ARG002 - there is none in any model
        """Return nothing: the head is the task's."""
        return {}

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model, which never changed."""
        return model

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the base model, which never changed."""
        return model

    def adapter_config(self, model: nn.Module) -> None:  # noqa: ARG002 - for no model
        """PEFT knows no adapter without tensors."""
        return None

    def peft_names(self, names: Sequence[str]) -> None:  # noqa: ARG002 - for no names
        """PEFT knows no adapter without tensors."""
        return None


build = Head
