"""Predicted probabilities of a model for rows, in the rows' order."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from client.batches import scoring_batches, take
from client.execution import Execution
from client.training import pad_id, to_device
from common.tasks import Example
from common.workbench import Workbench

SCORING_BATCH = 64


def score(bench: Workbench, examples: Sequence[Example], *, classes: int, execution: Execution) -> NDArray[np.float64]:
    """Return (n, classes) probabilities from the state that is in the workbench; evaluation mode, no gradients."""
    import torch

    bench.model.eval()
    bench.head.eval()
    result = np.empty((len(examples), classes))
    with torch.inference_mode(), execution.autocast():
        for index in scoring_batches([len(e.input_ids) for e in examples], batch_size=SCORING_BATCH):
            batch = to_device(bench.task.collate(take(examples, index), pad_id=pad_id(bench)), execution)
            logits = bench.task.logits(bench.model, bench.head, batch)
            result[index] = bench.task.probabilities(logits.double()).cpu().numpy()
    return result
