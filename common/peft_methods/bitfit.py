"""BitFit: the biases of the base model are trained, and no weights.

h = W0 x + b, with b (out,) trained and W0 frozen, in every layer and norm. Ben Zaken et al. 2022,
https://arxiv.org/abs/2106.10199. Unlike there, the bias of the attention keys is left out where positions are not
rotated: it adds the same number to all scores of a query, and a softmax does not see that. On MiniLM: 0.10 %.
Biases are weights themselves, so their mean is exact: `aggregates_linearly` is True.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import StudyError
from common.peft_methods import _own, _targets

if TYPE_CHECKING:
    from torch import nn


KEY_BIASES = (".key.bias", ".k_proj.bias", ".k_lin.bias", ".key_proj.bias")


@dataclass(frozen=True)
class Bitfit:
    """No options."""

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """The biases themselves are averaged."""
        return True

    @property
    def wraps(self) -> bool:
        """The base model's own tensors are trained in place."""
        return False

    def attach(self, base: nn.Module) -> nn.Module:
        """Make the biases trainable, and keep a copy of each."""
        rotated = any("rotary" in name for name, _ in base.named_modules())
        names = [name for name, _ in base.named_parameters() if name.endswith(".bias")]
        seen = [name for name in names if rotated or not name.endswith(KEY_BIASES)]
        if not seen:
            raise StudyError(
                f"peft.method = 'bitfit' trains biases, and the base model ({_targets.kind_of(base)}) has none; "
                "choose layer-norm, or lora"
            )
        return _own.thaw(base, seen)

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the biases, each (out,), by the names that the base model gives them."""
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


build = Bitfit
