"""PEFT methods: one file is one method (`peft.method` in the study); its options are the fields of `build`.

Names of tensors are the model's own, with no wrapper prefixes. The task's head is not a method's matter: it is
`head.*`, trained with every method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable  # PEFT's configuration is JSON

from common.state import AdapterState

if TYPE_CHECKING:
    from torch import nn


class PeftMethod(Protocol):
    """What a method file's `build` makes; every call but the properties needs torch."""

    @property
    def virtual_tokens(self) -> int:
        """Number of positions that the method takes from the model's maximum length."""

    @property
    def aggregates_linearly(self) -> bool:
        """Whether the mean of the tensors is the mean of the models they stand for."""

    @property
    def wraps(self) -> bool:
        """Whether `attach` returns a wrapper around the base model, and not the base model itself."""

    def attach(self, base: nn.Module) -> nn.Module:
        """Return `base` with fresh trainable tensors from torch's current generator; `base` may be changed in place.

        Raises:
            StudyError: the method cannot take this base model.
        """

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the trainable parameters of what `attach` just returned, by canonical name.

        They may be parameters of the base model itself; none at all means that only the task's head is trained.
        """

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model as it was before `attach`."""

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any] | None:
        """Return PEFT's `adapter_config.json`, or None where PEFT does not know the method."""

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str] | None:
        """Return {canonical name: name in adapter_model.safetensors}; None where no renaming of tensors does it."""


@runtime_checkable
class StartsFromText(Protocol):
    """What a method has besides if its first tensors can depend on the tokenizer; else `attach` has set them."""

    def start(self, model: nn.Module, tokenizer: Any) -> None:
        """Set the trainable tensors of what `attach` just returned."""


class RankAllocation(Protocol):
    """What a method measures while one round trains."""

    def measure(self) -> None:
        """Look at the gradients of a step, as the loss gave them, before they are clipped and used."""

    def finish(self) -> None:
        """Write what was measured into the trainable tensors."""


@runtime_checkable
class AllocatesRanks(Protocol):
    """What a method has besides if its tensors hold how important its parts are, and some are pruned by that."""

    def allocate(
        self, parameters: Mapping[str, nn.Parameter], *, round_number: int, rounds: int
    ) -> RankAllocation | None:
        """Prune what this round is to do without; the same for the same numbers. None: there is nothing to measure."""


@runtime_checkable
class RewritesForPeft(Protocol):
    """What a method has besides if PEFT's own layers need other numbers than those that travel; needs no torch."""

    def for_peft(self, state: AdapterState) -> AdapterState:
        """Return the tensors that PEFT's layers are given, by canonical name."""


@runtime_checkable
class Merges(Protocol):
    """What a method has besides if what it trained can become a part of the base model's own tensors."""

    def merge(self, model: nn.Module) -> nn.Module:
        """Return a plain base model that computes what `model` does; `model` is of no use afterwards.

        Raises:
            StudyError: with these options it cannot be.
        """


@runtime_checkable
class ExemptFromDecay(Protocol):
    """What a method has besides if some of its matrices are not weights, so that weight decay has no meaning there."""

    def is_exempt(self, name: str) -> bool:
        """Whether weight decay leaves the trainable tensor of this name alone."""
