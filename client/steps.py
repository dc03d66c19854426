"""What surrounds the steps of a training call, and what each of them was for those who look on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client.place import ALONE, Place
from client.regulariser import Regulariser
from client.scaling import Scaler

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One optimizer step; numbers count from 0. Scalars stay on the device: to read one makes the device wait.

    learning_rate: before any decay by depth. loss: mean over the step's rows, without regularisers. gradient_norm: of
    all trained tensors before clipping; not finite where fp16 overflowed and the step was skipped. update_norm: of how
    far all trained tensors moved; None where nobody asked for it.
    """

    number: int
    learning_rate: float
    loss: Tensor
    gradient_norm: Tensor
    update_norm: Tensor | None = None


@dataclass(frozen=True)
class Setting:
    """What a training call has beside its recipe: regularisers, the place among several processes, and who looks on.

    scaler: of fp16; None is the precision's own. update_norms: whether steps say how far they moved.
    """

    regularisers: Sequence[Regulariser] = ()
    place: Place = ALONE
    scaler: Scaler | None = None
    after_step: Callable[[Step], None] | None = None
    update_norms: bool = False


PLAIN = Setting()
"""Of one process that nobody looks at."""
