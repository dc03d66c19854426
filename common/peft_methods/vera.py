"""VeRA: h = W0 x + diag(b) B diag(d) A x, with the vectors b (out,) and d (rank,) trained.

A (rank, in) and B (out, rank) are random, frozen and the same in all layers: torch's CPU generator draws them from
`projection_seed` at each site, so they are never sent. b starts at zero, d at 0.1. Kopiczko et al. 2024,
https://arxiv.org/abs/2310.11454, formula 2. On MiniLM: 0.03 %. The product of b and d is bilinear in what is
averaged: `aggregates_linearly` is False.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any  # peft's configuration is JSON

from pydantic import Field

from common.peft_methods import _peft, _targets

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Vera:
    """Options: rank >= 1, projection_seed, dropout in [0, 1), targets: the ends of the layers' names.

    Without targets: the attention's query and value, whatever the architecture calls them.
    """

    rank: Annotated[int, Field(ge=1)] = 256
    projection_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] | None = None

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """The product of the two vectors is bilinear in what is averaged."""
        return False

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Add the vectors to every layer whose name ends in one of the targets."""
        from peft import VeraConfig

        ends = _targets.choose(base, self.targets, _targets.QUERY_AND_VALUE)
        layers = _targets.matching(base, ends)
        _targets.check_no_convolution(layers, "peft.method = 'vera'")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Specified to not save vera_A", category=UserWarning)
            config = VeraConfig(
                r=self.rank,
                projection_prng_key=self.projection_seed,
                save_projection=False,
                vera_dropout=self.dropout,
                target_modules=list(ends),
                fan_in_fan_out=any(layer.transposed for layer in layers.values()),
            )
        return _peft.attach(base, config)

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return `<layer>.vera_lambda_b` (out,) and `<layer>.vera_lambda_d` (rank,)."""
        return _peft.trainable(model)

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


build = Vera
