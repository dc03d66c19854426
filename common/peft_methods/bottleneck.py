"""Bottleneck adapters: h + U act(D h) after the two halves of every transformer block.

D (size, hidden) and U (hidden, size) with their biases are trained, size = hidden / reduction. `houlsby` places one
after the attention's last layer and one after the feed-forward part's, each before dropout and the skip connection
(Houlsby et al. 2019, https://arxiv.org/abs/1902.00751, figure 2); `pfeiffer` only the second (Pfeiffer et al. 2021,
https://arxiv.org/abs/2005.00247). U starts at zero, so the first model is the base model. On MiniLM: 0.99 %.
The function is not linear in D and U together (without act it would be LoRA): `aggregates_linearly` is False.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast  # a module's children are untyped

from pydantic import Field

from common.errors import StudyError
from common.peft_methods import _own, _targets

if TYPE_CHECKING:
    from torch import nn

NAME = "bottleneck"


@dataclass(frozen=True)
class Bottleneck:
    """Options: placement, reduction >= 1 (the size is hidden / reduction, rounded down), activation."""

    placement: Literal["houlsby", "pfeiffer"] = "houlsby"
    reduction: Annotated[int, Field(ge=1)] = 16
    activation: Literal["gelu", "relu", "silu", "tanh"] = "gelu"

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """A product of two trained layers is averaged factor by factor."""
        return False

    @property
    def wraps(self) -> bool:
        """Adapters are children of the base model's own layers."""
        return False

    def attach(self, base: nn.Module) -> nn.Module:
        """Hang an adapter behind each of the layers; names and tensors of the base model stay as they are."""
        names = _targets.in_each_block(base, _targets.FEED_FORWARD_OUTPUTS)
        if self.placement == "houlsby":
            names += _targets.in_each_block(base, _targets.ATTENTION_OUTPUTS)
        layers = _targets.linear_layers(base)
        sizes = {name: layers[name].outputs // self.reduction for name in sorted(names)}
        if 0 in sizes.values():
            hidden = min(layers[name].outputs for name in names)
            raise StudyError(f"peft.reduction = {self.reduction} is above the hidden size; expected at most {hidden}")
        for name, size in sizes.items():
            _hang(cast("Any", base.get_submodule(name)), layers[name].outputs, size, self.activation)
        return base

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return `<layer>.bottleneck.down.weight` (size, hidden), `.up.weight` (hidden, size), and their biases."""
        return _own.trainable(model)

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model without adapters."""
        for module in list(model.modules()):
            if NAME in dict(module.named_children()):
                cast("Any", module).bottleneck.handle.remove()
                delattr(module, NAME)
        return model

    def adapter_config(self, model: nn.Module) -> None:  # noqa: ARG002 - for no model
        """PEFT has no such method."""
        return None

    def peft_names(self, names: Sequence[str]) -> None:  # noqa: ARG002 - for no names
        """PEFT has no such method."""
        return None


def _hang(layer: Any, hidden: int, size: int, activation: str) -> None:
    """Make h + U act(D h) of the layer's output h."""
    from torch import nn

    acts = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}
    place = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    parts = {
        "down": nn.Linear(hidden, size, **place),
        "act": acts[activation](),
        "up": nn.Linear(size, hidden, **place),
    }
    adapter: Any = nn.ModuleDict(parts)
    nn.init.zeros_(adapter["up"].weight)
    nn.init.zeros_(adapter["up"].bias)
    layer.add_module(NAME, adapter)
    adapter.handle = layer.register_forward_hook(_adapt)


def _adapt(layer: Any, inputs: Any, output: Any) -> Any:  # noqa: ARG001 - torch's signature of a hook
    parts = layer.bottleneck
    return output + parts["up"](parts["act"](parts["down"](output)))


build = Bottleneck
