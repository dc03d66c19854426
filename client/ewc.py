"""Elastic weight consolidation: L + weight/2 sum_i F_i (x_i - x0_i)^2, with F the Fisher information where x0 began.

Kirkpatrick et al. 2017, https://arxiv.org/abs/1612.00796, formula 3. Here x0 is the study's initial adapter, and F its
diagonal on rows of the site's own, exact in the labels: sum over classes c of p_c (d log p_c / d x_i)^2, the mean over
rows, so that no label is drawn and none is needed (Kunstner et al. 2019, https://arxiv.org/abs/1905.12558).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client.forward import logits_of
from common.tasks import AnyExample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from client.execution import Execution
    from common.workbench import Workbench

Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Ewc:
    """The penalty on these parameters. anchor: where they began. fisher: how much each number matters there."""

    weight: float
    parameters: Mapping[str, nn.Parameter]
    anchor: Tensors
    fisher: Tensors

    def term(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:  # noqa: ARG002 # the seam's arguments
        """Return the penalty, which is of the parameters and no row."""
        return self.weight / 2 * penalty(self.parameters, self.anchor, self.fisher)


def penalty(parameters: Tensors, anchor: Tensors, fisher: Tensors) -> Tensor:
    """Return sum_i F_i (x_i - x0_i)^2 over all tensors, a scalar."""
    import torch

    return torch.stack([(fisher[n] * (p - anchor[n]) ** 2).sum() for n, p in parameters.items()]).sum()


def fisher_of_row(logits: Tensor, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return sum_c p_c (d log p_c / d x)^2 of one row's logits (classes,), for each parameter x that they depend on."""
    import torch

    logs = logits.log_softmax(dim=-1)
    found = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for log, probability in zip(logs, logs.detach().exp(), strict=True):
        gradients = torch.autograd.grad(log, list(parameters.values()), retain_graph=True, allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                found[name] += probability * gradient**2
    return found


def make_ewc(
    bench: Workbench,
    examples: Sequence[AnyExample],
    parameters: Mapping[str, nn.Parameter],
    *,
    weight: float,
    execution: Execution,
) -> Ewc:
    """Return the penalty anchored at what is in the workbench, with its Fisher information on these rows."""
    import torch

    for name, parameter in bench.parameters.items():
        parameter.requires_grad_(name in parameters)
    fisher = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for example in examples:
        found = fisher_of_row(logits_of(bench, [example], execution)[0], parameters)
        for name, value in found.items():
            fisher[name] += value / len(examples)
    anchor = {name: p.detach().clone() for name, p in parameters.items()}
    return Ewc(weight, parameters, anchor, fisher)
