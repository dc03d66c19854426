"""Norm tuning: scale and shift of every LayerNorm, RMSNorm, GroupNorm or BatchNorm are trained.

y = g * normalise(x) + b, with g (hidden,) and b (hidden,) trained; an RMSNorm has no b. Zhao et al. 2024,
https://arxiv.org/abs/2312.11420; of a BatchNorm, Frankle et al. 2021, https://arxiv.org/abs/2003.00152, whose running
statistics stay the base model's unless `peft.private` makes the norms the site's own. On MiniLM: 0.04 %. PEFT knows
it as LN tuning, and loads what is exported. g and b are weights themselves, so their mean is exact:
`aggregates_linearly` is True.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # PEFT's configuration is JSON

from common.errors import StudyError
from common.peft_methods import _own, _peft, _targets
from common.peft_methods._batch_norms import batch_norms

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LayerNorm:
    """No options."""

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """Scale and shift themselves are averaged."""
        return True

    @property
    def wraps(self) -> bool:
        """The base model's own tensors are trained in place."""
        return False

    def attach(self, base: nn.Module) -> nn.Module:
        """Make the norms trainable, and keep a copy of each tensor."""
        norms = _norms(base)
        if not norms:
            raise StudyError(
                f"peft.method = 'layer-norm' trains norms, and the base model ({_targets.kind_of(base)}) has no "
                "LayerNorm, RMSNorm, GroupNorm or BatchNorm; choose lora"
            )
        return _own.thaw(base, [name for name, _ in base.named_parameters() if name.rpartition(".")[0] in norms])

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return scale and shift of each norm, (hidden,), by the names that the base model gives them."""
        return _own.trainable(model)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model with its original tensors."""
        return _own.restore(model)

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the base model as it was trained."""
        return _own.merge(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return the configuration of PEFT's LN tuning of the same norms."""
        from peft import LNTuningConfig

        return _peft.plain_config(
            LNTuningConfig(task_type=_peft.task_type(model), target_modules=sorted(_norms(model)))
        )

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return PEFT's names, those of its copies of the norms."""
        split = {name: name.rpartition(".") for name in names}
        return {name: f"{_peft.WRAPPER}{norm}.ln_tuning_layers.{last}" for name, (norm, _, last) in split.items()}


def _norms(model: nn.Module) -> set[str]:
    kinds = ("LayerNorm", "RMSNorm", "GroupNorm")
    alike = {name for name, module in model.named_modules() if type(module).__name__.endswith(kinds)}
    return {name for name in {*alike, *batch_norms(model)} if list(model.get_submodule(name).parameters(recurse=False))}


build = LayerNorm
