"""Hybrid: two methods on one base model, for example LoRA and trained norms.

The model is that of `first` and `second` together, and the tensors are those of both, by their own names; He et al.
2022, https://arxiv.org/abs/2110.04366, take such mixtures apart. At most one of the two may be a wrapper of the peft
library, and no tensor may be trained by both. On MiniLM with the defaults: 0.37 %.
The mean is exact where those of both are: with LoRA, `aggregates_linearly` is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast  # options are typed by the methods

from common import plugins
from common.errors import StudyError
from common.peft_methods import (
    AllocatesRanks,
    ExemptFromDecay,
    Merges,
    PeftMethod,
    RankAllocation,
    StartsFromText,
    _peft,
)

if TYPE_CHECKING:
    from torch import nn

PACKAGE = "common.peft_methods"
OWN_NAME = "hybrid"


@dataclass(frozen=True)
class Hybrid:
    """Options: first and second, each a table of `method` and that method's options."""

    first: Mapping[str, Any] = field(default_factory=lambda: {"method": "lora"})
    second: Mapping[str, Any] = field(default_factory=lambda: {"method": "layer-norm"})

    def __post_init__(self) -> None:
        names = [str(table.get("method")) for table in (self.first, self.second)]
        if all(method.wraps for method in self._parts):
            raise StudyError(
                f"peft: {names[0]} and {names[1]} are both wrappers of the peft library, and one goes around a model; "
                "combine one of them with a method such as layer-norm, bitfit, bottleneck or last-layers"
            )

    @property
    def _parts(self) -> list[PeftMethod]:
        """Both methods, a wrapper last: it goes around what the other has changed."""
        parts = [_built(self.first, "first"), _built(self.second, "second")]
        return sorted(parts, key=lambda method: method.wraps)

    @property
    def virtual_tokens(self) -> int:
        """The positions of both."""
        return sum(method.virtual_tokens for method in self._parts)

    @property
    def aggregates_linearly(self) -> bool:
        """Both methods' means are exact."""
        return all(method.aggregates_linearly for method in self._parts)

    @property
    def wraps(self) -> bool:
        """One of the two wraps."""
        return any(method.wraps for method in self._parts)

    def attach(self, base: nn.Module) -> nn.Module:
        """Attach the one and then the other; a peft wrapper freezes all that it finds, which is undone."""
        inner, outer = self._parts
        model = inner.attach(base)
        of_inner = inner.trainable(model)
        for parameter in of_inner.values():
            parameter.requires_grad_(False)
        try:
            whole = outer.attach(model)
        except StudyError:
            inner.detach(model)
            raise
        twice = sorted(name for name, p in of_inner.items() if p.requires_grad)
        for parameter in of_inner.values():
            parameter.requires_grad_(True)
        if twice:
            self.detach(whole)
            raise StudyError(f"peft: first and second both train {twice[0]!r} ({len(twice)} such); choose others")
        return whole

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the tensors of both methods, by the names that each gives them."""
        return _peft.trainable(model)

    def is_exempt(self, name: str) -> bool:
        """One of the two says so."""
        return any(isinstance(part, ExemptFromDecay) and part.is_exempt(name) for part in self._parts)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model as it was before both."""
        inner, outer = self._parts
        return inner.detach(outer.detach(model))

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the base model with what both have made of it. Raises StudyError where one of them cannot."""
        inner, outer = self._parts
        if not isinstance(inner, Merges) or not isinstance(outer, Merges):
            stays = self.first if isinstance(_built(self.second, "second"), Merges) else self.second
            raise StudyError(f"what {stays['method']} trained cannot be merged into the base model's weights")
        return inner.merge(outer.merge(model))

    def start(self, model: nn.Module, tokenizer: Any) -> None:
        """Let each of the two set its tensors that depend on the tokenizer."""
        for method in self._parts:
            if isinstance(method, StartsFromText):
                method.start(model, tokenizer)

    def allocate(
        self, parameters: Mapping[str, nn.Parameter], *, round_number: int, rounds: int
    ) -> RankAllocation | None:
        """Let the one that allocates ranks do so: such are wrappers, so there is one at most."""
        for method in self._parts:
            if isinstance(method, AllocatesRanks):
                return method.allocate(parameters, round_number=round_number, rounds=rounds)
        return None

    def adapter_config(self, model: nn.Module) -> None:  # noqa: ARG002 - for no model
        """PEFT's configuration is of one method."""
        return None

    def peft_names(self, names: Sequence[str]) -> None:  # noqa: ARG002 - for no names
        """PEFT's configuration is of one method."""
        return None


def _built(table: Mapping[str, Any], key: str) -> PeftMethod:
    options = {name: value for name, value in table.items() if name != "method"}
    name = str(table.get("method", ""))
    if name in ("", OWN_NAME):
        raise StudyError(f"peft.{key}: expected a table with `method`, and not {OWN_NAME} again; found {dict(table)}")
    return cast("PeftMethod", plugins.build(PACKAGE, name, options, key=f"peft.{key}.method"))


build = Hybrid
