"""Top layers: the last `layers` transformer blocks of the base model are trained, the rest is frozen.

W <- W0 + D for each tensor of these blocks; embeddings, lower blocks and a norm above the blocks stay. Howard and Ruder
2018, https://arxiv.org/abs/1801.06146, unfreeze from the top likewise. On MiniLM: 15.7 %, two of six blocks.
The tensors are the weights themselves, so their mean is exact: `aggregates_linearly` is True.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from common.errors import StudyError
from common.peft_methods import _own, _targets

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LastLayers:
    """Options: layers >= 1, the number of blocks, counted from the top."""

    layers: Annotated[int, Field(ge=1)] = 2

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
        """Make the tensors of the top blocks trainable, and keep a copy of each."""
        blocks = _targets.blocks(base)
        if self.layers > len(blocks):
            raise StudyError(
                f"peft.layers = {self.layers}, and the base model has {len(blocks)} blocks; expected at most that"
            )
        top = tuple(f"{name}." for name, _ in blocks[-self.layers :])
        return _own.thaw(base, [name for name, _ in base.named_parameters() if name.startswith(top)])

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the tensors of the top blocks, by the names that the base model gives them."""
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


build = LastLayers
