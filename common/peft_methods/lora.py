"""LoRA: h = W0 x + s B A x, with A (rank, in) and B (out, rank) trained and W0 frozen; s = alpha / rank.

Hu et al. 2022, https://arxiv.org/abs/2106.09685, formula 3. B starts at zero, A as peft draws it; with
`init = "orthogonal"` neither is zero, but B A is (https://datta0.github.io/posts/rethink-lora-init/). `rslora`:
s = alpha / sqrt(rank) (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732). `dora`: the weight is
m (W0 + s B A) / |W0 + s B A|, the norm of each output's row, with m (out,) trained too (Liu et al. 2024,
https://arxiv.org/abs/2402.09353). On MiniLM: 0.33 %. Averaging A and B apart is not the average of the products:
`aggregates_linearly` is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal  # peft's configuration is JSON

from pydantic import Field

from common.errors import StudyError
from common.peft_methods import _peft, _targets

if TYPE_CHECKING:
    from torch import nn

MAGNITUDE = "lora_magnitude_vector"


@dataclass(frozen=True)
class Lora:
    """Options: rank >= 1, alpha (default 2 rank), dropout in [0, 1), targets, ranks, dora, rslora, init.

    targets: the ends of the layers' names; without them the attention's query and value, whatever the architecture
    calls them. ranks: other ranks by the end of a layer's name. init: `default`, or `orthogonal`, for even ranks.
    """

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] | None = None
    ranks: Mapping[str, Annotated[int, Field(ge=1)]] = field(default_factory=dict)
    dora: bool = False
    rslora: bool = False
    init: Literal["default", "orthogonal"] = "default"

    def __post_init__(self) -> None:
        odd = [rank for rank in (self.rank, *self.ranks.values()) if rank % 2]
        if self.init == "orthogonal" and odd:
            raise ValueError(f"init = 'orthogonal' needs an even rank, which {odd[0]} is not")

    @property
    def virtual_tokens(self) -> int:
        """LoRA takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """The product B A is bilinear in what is averaged."""
        return False

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Add the factors to every linear layer whose name ends in one of `targets`."""
        from peft import LoraConfig

        ends = _targets.choose(base, self.targets, _targets.QUERY_AND_VALUE)
        layers = _targets.matching(base, ends)
        ranks = self._ranks(layers)
        self._check_convolutions(ranks, layers)
        others = {name: rank for name, rank in ranks.items() if rank != self.rank}
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self._alpha(self.rank),
            lora_dropout=self.dropout,
            target_modules=list(ends),
            rank_pattern=others,
            alpha_pattern={name: self._alpha(rank) for name, rank in others.items()},
            use_dora=self.dora,
            use_rslora=self.rslora,
            init_lora_weights=True if self.init == "default" else self.init,
            fan_in_fan_out=any(layer.transposed for layer in layers.values()),
        )
        return _peft.attach(base, config)

    def _check_convolutions(self, ranks: Mapping[str, int], layers: Mapping[str, _targets.Layer]) -> None:
        _targets.check_convolutions(ranks, layers)
        if self.init == "orthogonal":
            _targets.check_no_convolution(layers, "peft.init = 'orthogonal'")

    def _alpha(self, rank: int) -> float:
        return 2 * rank if self.alpha is None else self.alpha

    def _ranks(self, layers: Mapping[str, _targets.Layer]) -> dict[str, int]:
        """Return the rank of every layer, checked against its size; of several ends that match, the longest holds."""
        for end in self.ranks:
            if not any(_targets.is_at_end(name, end) for name in layers):
                raise StudyError(f"peft.ranks: {end!r} is the end of no target; the targets are: {', '.join(layers)}")
        found = {}
        for name, layer in layers.items():
            ends = [end for end in self.ranks if _targets.is_at_end(name, end)]
            found[name] = self.ranks[max(ends, key=len)] if ends else self.rank
            _targets.check_rank({name: layer}, found[name])
        return found

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return `<layer>.lora_A.weight` (rank, in), `.lora_B.weight` (out, rank), `.lora_magnitude_vector.weight`."""
        return _peft.trainable(model)

    def is_exempt(self, name: str) -> bool:
        """The factors are a change of the frozen weight: decay would undo it, whatever the weight is."""
        return "lora_" in name

    def detach(self, model: nn.Module) -> nn.Module:
        """Return the base model with its own linear layers."""
        return _peft.detach(model)

    def merge(self, model: nn.Module) -> nn.Module:
        """Return the base model with the change added to its weights."""
        return _peft.merge(model)

    def adapter_config(self, model: nn.Module) -> Mapping[str, Any]:
        """Return peft's configuration."""
        return _peft.config_json(model)

    def peft_names(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return peft's names: the wrapper's prefix in front; DoRA's magnitudes have no last word there."""
        ends = {name: name.replace(f"{MAGNITUDE}.weight", MAGNITUDE) for name in names}
        return {name: _peft.WRAPPER + end for name, end in ends.items()}


build = Lora
