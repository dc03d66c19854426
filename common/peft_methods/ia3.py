"""(IA)^3: trained vectors scale keys, values, and what enters the last layer of the feed-forward part.

Keys and values: h = l * (W0 x + b), l (out,). Feed-forward: h = W0 (l * x) + b, l (in,). Every l starts at one.
Liu et al. 2022, https://arxiv.org/abs/2205.05638. On MiniLM: 0.06 %. The effective weight diag(l) W0, or W0 diag(l),
is linear in l, so the mean is exact: `aggregates_linearly` is True.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # peft's configuration is JSON

from common.peft_methods import _peft, _targets

if TYPE_CHECKING:
    from torch import nn


KEYS_AND_VALUES = (
    ("key", "value"),
    ("k_proj", "v_proj"),
    ("k_lin", "v_lin"),
    ("key_proj", "value_proj"),
    ("c_attn",),
    ("query_key_value",),
    ("Wqkv",),
)


@dataclass(frozen=True)
class Ia3:
    """Options: targets and feedforward, the ends of names of layers scaled at their outputs and at their inputs.

    Without them: what the architecture calls keys, values, and the last layer of the feed-forward part; GPT-2 scales
    the queries too, since its queries, keys and values are one layer.
    """

    targets: tuple[str, ...] | None = None
    feedforward: tuple[str, ...] | None = None

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """The effective weight is linear in the vector."""
        return True

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Put a vector of ones before or after each of the layers."""
        from peft import IA3Config

        scaled = _targets.choose(base, self.targets, KEYS_AND_VALUES)
        inner = self._inner(base)
        layers = {**_targets.matching(base, scaled), **inner}
        config = IA3Config(
            target_modules=list(layers),
            feedforward_modules=list(inner),
            fan_in_fan_out=any(layer.transposed for layer in layers.values()),
        )
        return _peft.attach(base, config)

    def _inner(self, base: nn.Module) -> dict[str, _targets.Layer]:
        if self.feedforward is None:
            names = tuple(_targets.in_each_block(base, _targets.FEED_FORWARD_OUTPUTS, key="peft.feedforward"))
        else:
            names = _targets.choose(base, self.feedforward, (), key="peft.feedforward")
        return _targets.matching(base, names)

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return `<layer>.ia3_l`, (out, 1) for keys and values and (1, in) for feed-forward layers."""
        return _peft.trainable(model)

    def is_exempt(self, name: str) -> bool:
        """The scales start at 1, which leaves the model as it is; at 0 nothing is left of it."""
        return "ia3_l" in name

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model with its own layers."""
        return _peft.detach(model)

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the base model with the change added to its weights."""
        return _peft.merge(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return peft's configuration."""
        return _peft.config_json(model)

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return peft's names: the wrapper's prefix in front."""
        return {name: _peft.WRAPPER + name for name in names}


build = Ia3
