"""Gradients of rows by hooks on layers (Opacus, Yousefpour et al. 2021, https://arxiv.org/abs/2109.12298).

One backward pass for all rows; each layer's rows come apart in what flows into it and what flows back. It is right
where every trained tensor is of a layer that is called with the rows as its first axis, as LoRA's factors are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # Opacus' module is untyped here

from client.forward import pad_id
from client.frozen_layers import FrozenLayers
from client.row_gradients import SLOWER, batch_of, both_of, loss_of_each, trained
from common.tasks import AnyExample

if TYPE_CHECKING:
    from torch import Tensor

    from client.execution import Execution
    from client.row_gradients import Gradients
    from common.workbench import Workbench


@dataclass(frozen=True)
class HookedGradients:
    """hooked: Opacus' wrapper around model and head, whose hooks see every pass of the model itself."""

    bench: Workbench
    execution: Execution
    hooked: Any
    frozen: FrozenLayers | None

    @classmethod
    def start(cls, bench: Workbench, execution: Execution) -> HookedGradients:
        """Put the hooks on. Raises NotImplementedError where a layer is of a kind that Opacus refuses."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how layers without a rule of their own are treated: we look ourselves
            from opacus import GradSampleModule

            hooked = GradSampleModule(both_of(bench), strict=False, loss_reduction="sum")
        for module in hooked.modules():
            if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
                module.training = True  # hooks look at it; what such a layer computes does not
        return cls(bench, execution, hooked, FrozenLayers.of(bench, execution))

    def of(self, examples: Sequence[AnyExample]) -> tuple[Tensor, Gradients]:
        """Return the losses (rows,) and gradients (rows, *shape). Raises KeyError for a tensor that no hook saw."""
        bench, batch = self.bench, batch_of(self.bench, examples, self.execution)
        states = nullcontext() if self.frozen is None else self.frozen.given(examples, pad_id=pad_id(bench))
        with states, self.execution.autocast():
            logits = bench.task.logits(bench.model, bench.head, batch)
        losses = loss_of_each(bench, logits.float(), batch)
        with warnings.catch_warnings():
            # The first trained layer's inputs need no gradient, and torch says so each time.
            warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
            warnings.filterwarnings("ignore", message=SLOWER, category=UserWarning)
            losses.sum().backward()  # type: ignore[no-untyped-call] # torch's own
        return losses.detach(), {name: _taken(name, parameter) for name, parameter in trained(bench).items()}

    def close(self) -> None:
        """Take the hooks off, and what they left on the parameters."""
        self.hooked.to_standard_module()
        for parameter in self.bench.parameters.values():
            parameter.grad = None


def _taken(name: str, parameter: Any) -> Tensor:
    """Return the gradients that hooks left on a parameter, and leave it without."""
    found, parameter.grad_sample, parameter.grad = parameter.grad_sample, None, None
    if found is None:
        raise KeyError(name)
    gradients: Tensor = found
    return gradients
