"""Rows on their way into the model: padded, on its device; and one pass of it, as it is when it is not trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from common.tasks import AnyExample

if TYPE_CHECKING:
    from torch import Tensor

    from client.execution import Execution
    from common.workbench import Workbench


def pad_id(bench: Workbench) -> int:
    """Return the reader's padding id; decoders without one pad with 0, which the mask hides, and images need none."""
    return int(getattr(bench.reader, "pad_token_id", None) or 0)


def to_device(batch: Mapping[str, Tensor], execution: Execution) -> Mapping[str, Tensor]:
    """Move a batch to the execution's device; nothing to do on a CPU."""
    if execution.device == "cpu":
        return batch
    return {name: tensor.to(execution.device, non_blocking=True) for name, tensor in batch.items()}


def logits_of(bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> Tensor:
    """Return the task's logits in float32, in evaluation mode, with gradients unless they are turned off."""
    bench.model.eval()
    bench.head.eval()
    batch = to_device(bench.task.collate(examples, pad_id=pad_id(bench)), execution)
    with execution.autocast():
        logits = bench.task.logits(bench.model, bench.head, batch)
    return logits.float()
