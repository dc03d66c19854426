"""PEFT methods: one file is one method (`peft.method` in the study); its options are the fields of `build`.

Names of tensors are the model's own, with no wrapper prefixes. The task's head is not a method's matter: it is
`head.*`, trained with every method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol  # PEFT's configuration is JSON

if TYPE_CHECKING:
    from torch import nn


class PeftMethod(Protocol):
    """What a method file's `build` makes; every call but `virtual_tokens` needs torch."""

    @property
    def virtual_tokens(self) -> int:
        """Number of positions that the method takes from the model's maximum length."""

    @property
    def aggregates_linearly(self) -> bool:
        """Whether the mean of the tensors is the mean of the models they stand for."""

    def attach(self, base: nn.Module) -> nn.Module:
        """Return `base` with fresh trainable tensors from torch's current generator; `base` may be wrapped in place."""

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the trainable parameters of what `attach` returned, by canonical name."""

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model as it was before `attach`."""

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any] | None:
        """Return PEFT's `adapter_config.json`, or None where PEFT does not know the method."""

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str] | None:
        """Return {canonical name: name in adapter_model.safetensors}; None where no renaming of tensors does it."""
