"""The task's loss of each row, as training would have it of a batch of that row alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from client.batches import scoring_batches, take
from client.execution import Execution
from client.forward import pad_id, to_device
from client.frozen_layers import FrozenLayers
from client.row_gradients import loss_of_each
from client.scoring import SCORING_BATCH
from common.tasks import AnyExample
from common.workbench import Workbench


def row_losses(bench: Workbench, examples: Sequence[AnyExample], *, execution: Execution) -> NDArray[np.float64]:
    """Return losses (n,) of what is in the workbench, in evaluation mode."""
    import torch

    bench.model.eval()
    bench.head.eval()
    task, frozen, found = bench.task, FrozenLayers.of(bench, execution), np.empty(len(examples))
    with torch.inference_mode(), execution.autocast():
        for index in scoring_batches([e.length for e in examples], batch_size=SCORING_BATCH):
            part = take(examples, index)
            batch = to_device(task.collate(part, pad_id=pad_id(bench)), execution)
            with nullcontext() if frozen is None else frozen.given(part, pad_id=pad_id(bench)):
                logits = task.logits(bench.model, bench.head, batch).float()
            found[index] = loss_of_each(bench, logits, batch).cpu().numpy()
    return found
