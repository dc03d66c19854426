"""Distillation from the model that training began with: L + weight T^2 KL(teacher || student) at temperature T.

Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 2; as a guard against forgetting, Li and Hoiem 2016,
https://arxiv.org/abs/1606.09282. The teacher is the base model with the study's initial adapter; what it says of the
site's rows is computed once a round, in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client.batches import scoring_batches, take
from client.forward import logits_of
from common.tasks import AnyExample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from client.execution import Execution
    from common.workbench import Workbench

BATCH = 64


@dataclass(frozen=True)
class Distillation:
    """teacher: its logits (rows, classes), in the order of the training rows."""

    weight: float
    temperature: float
    teacher: Tensor

    def term(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return how far these rows' logits (n, classes) are from the teacher's."""
        return self.weight * divergence(logits, self.teacher[rows.tolist()], temperature=self.temperature)


def divergence(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return T^2 times the mean over rows of KL(softmax(teacher / T) || softmax(student / T)), logits (n, classes).

    T^2 keeps the gradient's size as the temperature rises.
    """
    theirs, ours = (teacher / temperature).log_softmax(dim=-1), (student / temperature).log_softmax(dim=-1)
    return temperature**2 * (theirs.exp() * (theirs - ours)).sum(dim=-1).mean()


def make_distillation(
    bench: Workbench,
    examples: Sequence[AnyExample],
    *,
    weight: float,
    temperature: float,
    execution: Execution,
) -> Distillation:
    """Return the term whose teacher is what is in the workbench."""
    import torch

    batches = scoring_batches([e.length for e in examples], batch_size=BATCH)
    with torch.no_grad():
        found = [logits_of(bench, take(examples, rows), execution) for rows in batches]
    order = [row for rows in batches for row in rows.tolist()]
    teacher = torch.empty_like(torch.cat(found))
    teacher[order] = torch.cat(found)
    return Distillation(weight, temperature, teacher)
