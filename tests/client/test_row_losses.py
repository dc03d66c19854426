from collections.abc import Callable

import numpy as np
import pytest

from client.execution import Execution
from client.row_losses import row_losses
from client.rows import read_rows
from common.workbench import open_workbench
from simulations.catalogue import base_folder, load, rows_path

STUDIES = ("quick", "quick-causal-lm", "quick-labels", "quick-scores", "quick-tokens", "quick-images")


@pytest.mark.parametrize("name", STUDIES)
def test_a_row_s_loss_is_that_of_a_batch_of_it_alone(name: str, tmp_path) -> None:
    """With rows of other lengths beside it, in any order; whatever the task."""
    import torch

    study = load(name)
    rows = read_rows(rows_path(study, tmp_path), study).take(np.arange(9))
    bench = open_workbench(study, base_folder(study, tmp_path))
    examples = bench.task.encode(bench.reader, rows.inputs, rows.labels, max_length=bench.max_length)
    found = row_losses(bench, examples, execution=Execution())
    with torch.no_grad():
        for example, loss in zip(examples, found, strict=True):
            batch = bench.task.collate([example], pad_id=0)
            alone = bench.task.loss(bench.task.logits(bench.model, bench.head, batch).float(), batch)
            assert loss == pytest.approx(float(alone), rel=1e-4, abs=1e-6)
    assert len(set(found.round(6))) > 1


def test_no_rows_have_no_losses(open_bench: Callable) -> None:
    assert row_losses(open_bench(), [], execution=Execution()).shape == (0,)
