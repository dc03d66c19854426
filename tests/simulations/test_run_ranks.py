"""A whole run with AdaLoRA: every round has its budget, and an interrupted run goes on to the same bytes."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from common.peft_methods._rank_allocation import is_kept
from common.tensor_files import group_of
from server.events import Event, RoundFinished
from simulations.results import Results
from simulations.run import run

PEFT = "peft={method='adalora', rank=6, target_rank=2, warmup=0, final=0}"
BUDGETS = [24, 12, 8, 8]
"""Of 4 layers: 8 + 16 (1 - (t - 1) / 3)^3, rounded down."""


def kept(file: Path) -> int:
    state = group_of(safetensors.numpy.load_file(file), "shared")
    return sum(int(is_kept(array).sum()) for name, array in state.items() if name.endswith("lora_E.importance"))


def play(out: Path, stop_after: int = 0, *, resume: bool = False) -> tuple[Results, list[int]]:
    found = []

    def look(event: Event) -> None:
        if isinstance(event, RoundFinished):
            found.append(kept(next((out / "checkpoint").glob("round-*/tensors.safetensors"))))
            if event.round == stop_after:
                raise KeyboardInterrupt

    overrides = [PEFT, "training.local_epochs=1", "evaluation.resamples=5", f"federation.rounds={len(BUDGETS)}"]
    return run("quick", out=out, overrides=overrides, comparison=False, resume=resume, progress=look), found


def test_ranks_are_pruned_as_scheduled_and_a_resumed_run_has_the_same_bytes(tmp_path: Path) -> None:
    whole, found = play(tmp_path / "whole")
    assert found == BUDGETS
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "stopped", stop_after=2)
    resumed, found = play(tmp_path / "stopped", resume=True)
    assert found == BUDGETS[2:]
    adapters = [(each.adapter / "adapter.safetensors").read_bytes() for each in (whole, resumed)]
    assert adapters[0] == adapters[1]
    values = safetensors.numpy.load_file(whole.adapter / "adapter_model.safetensors")
    assert sum(int(np.count_nonzero(array)) for name, array in values.items() if name.endswith("lora_E")) == 8
