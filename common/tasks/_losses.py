"""Losses over classes: logits (n, classes) and class indices (n,), of which IGNORED ones do not count.

Cross-entropy, with label smoothing (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7) and class
weights; and focal loss, w_y (1 - p_y)^gamma (-log p_y) (Lin et al. 2017, https://arxiv.org/abs/1708.02002, formula 5,
with the softmax's p in the place of the sigmoid's). All are means over the targets that count. Class weights are not
divided by their sum, as torch divides them in each batch: so the gradient of a batch is the mean of those of its parts,
weighted by their targets, however the rows are dealt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

if TYPE_CHECKING:
    from torch import Tensor

IGNORED: Final = -100
"""The target of what does not count, as torch has it."""

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Loss:
    """A loss as a study writes it, such as {name = "focal", gamma = 2.0}.

    weights: one for each class, in class order; a mean of 1 keeps the learning rate's meaning. gamma >= 0: how fast
    the loss of what is right already fades (focal only). smoothing in [0, 1): share of each target that is spread
    evenly over all classes (cross-entropy only).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: Literal["cross-entropy", "focal"] = "cross-entropy"
    weights: tuple[Weight, ...] | None = None
    gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def __post_init__(self) -> None:
        """Refuse options that the loss would not read, and weights that leave nothing to learn."""
        if self.gamma is not None and self.name != "focal":
            raise ValueError("gamma is focal loss' own; give name = 'focal' too, or leave it out")
        if self.smoothing and self.name == "focal":
            raise ValueError("smoothing does not go with focal loss; use name = 'cross-entropy', or leave it out")
        if self.weights is not None and not any(self.weights):
            raise ValueError("weights are all 0, and nothing would be learned; give at least one above 0")

    def check_classes(self, classes: int) -> None:
        """Raise ValueError unless there is a weight for each class, or none at all."""
        if self.weights is not None and len(self.weights) != classes:
            raise ValueError(f"weights has {len(self.weights)} numbers, the task {classes} classes; give one for each")

    def of(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss (a scalar) of logits (n, classes) and targets (n,), which may be IGNORED."""
        if self.name == "focal":
            return focal(logits, targets, gamma=2.0 if self.gamma is None else self.gamma, weights=self.weights)
        return cross_entropy(logits, targets, weights=self.weights, smoothing=self.smoothing)


def count(targets: Tensor) -> Tensor:
    """Return how many targets count, as a scalar of at least 1: what has none has a loss of 0."""
    return (targets != IGNORED).sum().clamp(min=1)


def cross_entropy(
    logits: Tensor, targets: Tensor, *, weights: Sequence[float] | None = None, smoothing: float = 0.0
) -> Tensor:
    """Return the mean of sum_c w_c q_c (-log p_c), where q is 1 - smoothing on the target plus smoothing / classes."""
    from torch.nn import functional

    total = functional.cross_entropy(
        logits,
        targets,
        weight=_tensor(weights, logits),
        label_smoothing=smoothing,
        ignore_index=IGNORED,
        reduction="sum",
    )
    return total / count(targets)


def focal(logits: Tensor, targets: Tensor, *, gamma: float, weights: Sequence[float] | None = None) -> Tensor:
    """Return the mean of w_y (1 - p_y)^gamma (-log p_y); gamma = 0 is the cross-entropy."""
    import torch

    counted = targets != IGNORED
    rows, classes = logits[counted], targets[counted]
    logs = rows.log_softmax(dim=-1)
    chosen = logs.gather(1, classes.unsqueeze(1)).squeeze(1)
    if not gamma:
        missing = torch.ones_like(chosen)
    else:
        # Of the other classes, not 1 - p: near p = 1 that is 0, where a power below 1 has no finite gradient.
        others = logs.scatter(1, classes.unsqueeze(1), float("-inf")).logsumexp(dim=-1)
        missing = (gamma * others).exp()
    scale = _tensor(weights, logits)
    losses = -missing * chosen if scale is None else -scale[classes] * missing * chosen
    total: Tensor = losses.sum() / count(targets)
    return total


def _tensor(weights: Sequence[float] | None, like: Tensor) -> Tensor | None:
    return None if weights is None else like.new_tensor(list(weights))
