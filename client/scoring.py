"""A model's scores for rows, in the rows' order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from client.batches import scoring_batches, take
from client.execution import Execution
from client.forward import pad_id, to_device
from client.frozen_layers import FrozenLayers
from common.tasks import AnyExample
from common.workbench import Workbench

if TYPE_CHECKING:
    from torch import Tensor

SCORING_BATCH = 64


def score(bench: Workbench, examples: Sequence[AnyExample], *, execution: Execution) -> NDArray[np.float64]:
    """Return scores (n, width), as the task's measure takes them, of what is in the workbench; evaluation mode."""
    import torch

    bench.model.eval()
    bench.head.eval()
    frozen = FrozenLayers.of(bench, execution)
    result = np.empty((len(examples), bench.task.measure.width))
    with torch.inference_mode(), execution.autocast():
        for index in scoring_batches([e.length for e in examples], batch_size=SCORING_BATCH):
            part = take(examples, index)
            batch = to_device(bench.task.collate(part, pad_id=pad_id(bench)), execution)
            with nullcontext() if frozen is None else frozen.given(part, pad_id=pad_id(bench)):
                logits = bench.task.logits(bench.model, bench.head, batch)
            result[index] = bench.task.scores(*_where_float64_is(logits, batch)).cpu().numpy()
    return result


def _where_float64_is(logits: Tensor, batch: Mapping[str, Tensor]) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Bring logits and batch to the CPU from a device that has no float64, which scores are made in."""
    if logits.device.type != "mps":
        return logits, batch
    return logits.cpu(), {name: tensor.cpu() for name, tensor in batch.items()}


def predicted_rows(
    bench: Workbench, examples: Sequence[AnyExample], *, execution: Execution
) -> list[Mapping[str, object]]:
    """Return each row's prediction from the state that is in the workbench, as the task says it."""
    import torch

    bench.model.eval()
    bench.head.eval()
    found: dict[int, Mapping[str, object]] = {}
    with torch.inference_mode(), execution.autocast():
        for index in scoring_batches([e.length for e in examples], batch_size=SCORING_BATCH):
            batch = to_device(bench.task.collate(take(examples, index), pad_id=pad_id(bench)), execution)
            found |= zip(index.tolist(), bench.task.predict(bench.model, bench.head, batch, bench.reader), strict=True)
    return [found[row] for row in range(len(examples))]
