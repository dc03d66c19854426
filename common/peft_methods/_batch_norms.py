"""BatchNorm at a site: its running statistics belong to the site where the norm's own tensors do.

A BatchNorm one of whose tensors is private (`peft.private`) learns the statistics of the site's own rows, and they are
private tensors too: FedBN, Li et al. 2021, https://arxiv.org/abs/2102.07623. Every other BatchNorm keeps those of the
base model, which no average could mend: it stays in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Return every BatchNorm of `model`, by its name there."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}


def own_norms(model: nn.Module, parameters: Mapping[str, nn.Parameter], private: Sequence[str]) -> dict[str, nn.Module]:
    """Return each BatchNorm of which a tensor in `parameters` matches one of the patterns `private`, by its name there.

    A name in `parameters` is the canonical one, which a wrapper around the model does not change.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    found = {}
    for module in batch_norms(model).values():
        own = [names[id(p)] for p in module.parameters(recurse=False) if id(p) in names]
        if any(fnmatchcase(name, pattern) for name in own for pattern in private):
            found[own[0].rpartition(".")[0]] = module
    return dict(sorted(found.items()))


def statistics(norms: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the buffers of these norms: `running_mean` and `running_var` (channels,), `num_batches_tracked` ().

    They are looked up each time, since a move to another device replaces them.
    """
    return {
        f"{norm}.{name}": buffer
        for norm, module in norms.items()
        for name, buffer in module.named_buffers(recurse=False)
    }


def set_mode(norms: Iterable[nn.Module], *, rows: int) -> None:
    """Have the norms learn from a batch of `rows` rows; one row has no spread, and is normalised as in evaluation."""
    for norm in norms:
        norm.train(rows > 1)
