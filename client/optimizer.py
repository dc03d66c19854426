"""AdamW over groups of tensors: each has a share of the learning rate, and decays or does not.

Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101. Weight decay pulls matrices towards 0; it leaves alone
biases, norms and every other vector, and what the PEFT method says should not decay, such as LoRA's factors, whose
product is a change of the frozen weight and not the weight.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.peft_methods import ExemptFromDecay
from common.peft_methods._depth import rate_factors, stack_of

if TYPE_CHECKING:
    import torch

    from common.workbench import Workbench

RATE_FACTOR = "rate_factor"
"""The key of a parameter group that holds what the learning rate is multiplied by."""


@dataclass(frozen=True)
class Group:
    """Tensors, by name, with one share of the learning rate and one weight decay."""

    names: tuple[str, ...]
    rate_factor: float
    weight_decay: float


def grouped(factors: Mapping[str, float], may_decay: Callable[[str], bool], *, weight_decay: float) -> list[Group]:
    """Return the groups of the named tensors, in the order of their first members."""
    found: dict[tuple[float, float], list[str]] = {}
    for name, factor in factors.items():
        decay = weight_decay if weight_decay and may_decay(name) else 0.0
        found.setdefault((factor, decay), []).append(name)
    return [Group(tuple(names), *key) for key, names in found.items()]


def may_decay(bench: Workbench, name: str) -> bool:
    """Whether weight decay may act on a tensor: it has rows and columns, and the method has nothing against it."""
    method = bench.method
    exempt = isinstance(method, ExemptFromDecay) and method.is_exempt(name)
    return bench.parameters[name].dim() > 1 and not exempt


def hyper_parameters(
    bench: Workbench, active: Collection[str], *, weight_decay: float, layer_decay: float
) -> list[Group]:
    """Return the groups of the active tensors."""
    names = [name for name in bench.parameters if name in active]
    if layer_decay == 1:
        factors = dict.fromkeys(names, 1.0)
    else:
        factors = rate_factors(names, stack_of(bench.model), decay=layer_decay)
    return grouped(factors, lambda name: may_decay(bench, name), weight_decay=weight_decay)


def make_optimizer(
    bench: Workbench, active: Collection[str], *, learning_rate: float, weight_decay: float, layer_decay: float
) -> torch.optim.AdamW:
    """Return a fresh optimizer of the active tensors; it has no state for any other."""
    import torch

    tables = [
        {
            "params": [bench.parameters[name] for name in group.names],
            "weight_decay": group.weight_decay,
            RATE_FACTOR: group.rate_factor,
        }
        for group in hyper_parameters(bench, active, weight_decay=weight_decay, layer_decay=layer_decay)
    ]
    return torch.optim.AdamW(tables, lr=learning_rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[RATE_FACTOR]
