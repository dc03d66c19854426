"""What the student hears from the teacher: (1 - w) L + w D, with the labels' loss L and the distance D to the teacher.

Classes: D = T^2 KL(teacher || student) at temperature T (Hinton et al. 2015, https://arxiv.org/abs/1503.02531). Labels
of which each may hold: the same of each label's two outcomes, their mean. A number: the mean squared distance on the
head's scale, which has no temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from client.batches import scoring_batches, take
from client.distillation import BATCH, divergence
from client.forward import logits_of
from common.errors import UserError
from common.tasks import AnyExample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from client.execution import Execution
    from common.workbench import Workbench

    Distance = Callable[..., Tensor]


def of_labels(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return T^2 times the mean, over rows and labels (n, labels), of KL between the two outcomes of each label."""
    import torch

    ours, theirs = (torch.stack([logits, torch.zeros_like(logits)], dim=-1) for logits in (student, teacher))
    return divergence(ours.flatten(0, -2), theirs.flatten(0, -2), temperature=temperature)


def of_numbers(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Return the mean squared distance of predictions (n,); there is no temperature."""
    del temperature
    return (student - teacher).square().mean()


DISTANCES: Final[Mapping[str, Distance]] = {
    "sequence-classification": divergence,
    "multi-label-classification": of_labels,
    "regression": of_numbers,
}


def distance_of(kind: str) -> Distance:
    """Return the distance for a task. Raises UserError where there is none."""
    name = kind.replace("_", "-")
    if name not in DISTANCES:
        raise UserError(f"distilling does not go with task.kind = {kind!r}; it goes with {', '.join(DISTANCES)}")
    return DISTANCES[name]


@dataclass(frozen=True)
class SoftTargets:
    """A regulariser of training. teacher: its logits (rows, ...), in the order of the training rows.

    weight: in [0, 1), of the teacher against the labels. The optimizer, Adam, takes no notice of the common factor, so
    that it is L + w / (1 - w) D.
    """

    distance: Distance
    weight: float
    temperature: float
    teacher: Tensor

    def term(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return what is added to the loss of these rows."""
        found = self.distance(logits, self.teacher[rows.tolist()], temperature=self.temperature)
        return self.weight / (1 - self.weight) * found


def teacher_logits(bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> Tensor:
    """Return the logits of what is in the workbench, in evaluation mode, in the order of the rows."""
    import torch

    batches = scoring_batches([example.length for example in examples], batch_size=BATCH)
    with torch.no_grad():
        found = torch.cat([logits_of(bench, take(examples, rows), execution) for rows in batches])
    order = [row for rows in batches for row in rows.tolist()]
    result = torch.empty_like(found)
    result[order] = found
    return result
