"""AdaLoRA: h = W0 x + (alpha / rank) P (m * e * (Q x)), with P (out, rank), e (rank,), Q (rank, in), and a mask m.

Zhang et al. 2023, https://arxiv.org/abs/2303.10512, formula 3; e starts at zero. A fourth tensor of each layer, its
ranks' importance (rank, 1), travels with the three: in a round each site measures it over its steps (section 3.2)
and the mean is as any tensor's. At the next round's start every site keeps as many ranks, of all layers together, as
the round's budget says, those of the largest mean importance, and marks the others pruned in the same tensor. So all
sites have the same mask, shapes never change, and a state says by itself which ranks it has: m is exact, no message
is added, and a site that missed rounds needs no memory. Differences from the paper: the budget falls once a round; a
pruned rank stays pruned; importances are of one round, each site's largest made equal; no penalty on P and Q for not
being orthogonal. Marks arrive whole where the new state is the received one plus a mean or median of the updates; a
strategy that steps otherwise (momentum, Adam) may have them a round or more late in what is evaluated, not in what is
trained. Training that is one call (the comparison's) has no round to prune in: it keeps the first rank.
On MiniLM: 0.49 % at first. A product of three is averaged: `aggregates_linearly` is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any  # peft's configuration is JSON

import numpy as np
from pydantic import Field

from common.peft_methods import _peft, _rank_allocation, _targets
from common.state import AdapterState, Array

if TYPE_CHECKING:
    from torch import nn

    from common.peft_methods._gated import Measuring

IMPORTANCE = ".lora_E.importance"


@dataclass(frozen=True)
class Adalora:
    """Options: rank, target_rank, warmup, final, alpha (default 2 rank), dropout in [0, 1), targets.

    rank: of every layer at first; target_rank: the mean over layers at the end, by default two thirds of it, as in the
    paper. warmup, final: the fractions of the rounds before the budget falls, and after. targets: the ends of the
    layers' names; without them the attention's query and value, whatever the architecture calls them.
    """

    rank: Annotated[int, Field(ge=1)] = 12
    target_rank: Annotated[int, Field(ge=1)] | None = None
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    final: Annotated[float, Field(ge=0, lt=1)] = 0.3
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.target_rank is not None and self.target_rank > self.rank:
            raise ValueError(f"target_rank = {self.target_rank} is above rank = {self.rank}; expected at most that")

    @property
    def last_rank(self) -> int:
        """The mean rank of the layers at the end."""
        return max(1, 2 * self.rank // 3) if self.target_rank is None else self.target_rank

    @property
    def virtual_tokens(self) -> int:
        """It takes no positions."""
        return 0

    @property
    def aggregates_linearly(self) -> bool:
        """A product of three factors is averaged factor by factor."""
        return False

    @property
    def wraps(self) -> bool:
        """The peft library wraps the base model."""
        return True

    def attach(self, base: nn.Module) -> nn.Module:
        """Add the three factors to every layer whose name ends in one of the targets."""
        from peft import AdaLoraConfig

        ends = _targets.choose(base, self.targets, _targets.QUERY_AND_VALUE)
        layers = _targets.matching(base, ends)
        _targets.check_rank(layers, self.rank)
        config = AdaLoraConfig(
            init_r=self.rank,
            target_r=self.last_rank,
            total_step=1,  # peft asks for it; its own schedule is never stepped
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            target_modules=list(ends),
            fan_in_fan_out=any(layer.transposed for layer in layers.values()),
        )
        model = _peft.attach(base, config)
        _gate(model)
        return model

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return Q, `<layer>.lora_A` (rank, in), P, `.lora_B` (out, rank), e, `.lora_E`, and `.lora_E.importance`."""
        return _peft.trainable(model)

    def is_exempt(self, name: str) -> bool:
        """The factors are a change of the frozen weight: decay would undo it, whatever the weight is."""
        return "lora_" in name

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
        """Return peft's names: the wrapper's prefix in front. Importances have one too, since `for_peft` needs them."""
        return {name: _peft.WRAPPER + name for name in names}

    def for_peft(self, state: AdapterState) -> dict[str, Array]:
        """Return the tensors that peft's own layers have: e is zero where a rank is pruned, which does the same."""
        found = {name: array for name, array in state.items() if not name.endswith(IMPORTANCE)}
        for name in state.keys() - found.keys():
            value = name.removesuffix(".importance")
            found[value] = state[value] * _rank_allocation.is_kept(state[name]).astype(np.float32)
        return found

    def allocate(self, parameters: Mapping[str, nn.Parameter], *, round_number: int, rounds: int) -> Measuring:
        """Prune to the round's budget by the importances that are in `parameters`, and return what measures new ones.

        A layer whose importance is not trained in this round, or was not measured yet, keeps its ranks, and the
        budget is of the others.
        """
        from common.peft_methods._gated import Layer, Measuring

        trained = {name: p for name, p in parameters.items() if name.endswith(IMPORTANCE) and p.requires_grad}
        known = {name: p.detach().cpu().numpy() for name, p in trained.items()}
        measured = {name: array for name, array in known.items() if array.any()}
        if measured:
            kept = self._budget(len(measured), round_number=round_number, rounds=rounds)
            _write(trained, _rank_allocation.prune(measured, kept))
        ends = (".lora_B", ".lora_A", IMPORTANCE)
        layers = {name: name.removesuffix(IMPORTANCE) for name in trained}
        return Measuring({name: Layer.of(*(parameters[layer + end] for end in ends)) for name, layer in layers.items()})

    def _budget(self, layers: int, *, round_number: int, rounds: int) -> int:
        return _rank_allocation.budget(
            round_number=round_number,
            rounds=rounds,
            first=self.rank * layers,
            last=self.last_rank * layers,
            warmup=self.warmup,
            final=self.final,
        )


def _gate(model: nn.Module) -> None:
    """Put the gate between e and what multiplies by it, in every layer of peft's."""
    from common.peft_methods._gated import GatedValues

    for module in list(model.modules()):
        values = getattr(module, "lora_E", None)
        if values is not None:
            module.lora_E = GatedValues(dict(values.items()))


def _write(parameters: Mapping[str, nn.Parameter], arrays: Mapping[str, Array]) -> None:
    import torch

    with torch.no_grad():
        for name, array in arrays.items():
            parameters[name].copy_(torch.from_numpy(array))


build = Adalora
