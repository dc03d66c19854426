"""Two processes that train together against one that trains alone: the same state, to float32's own rounding."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from client.execution import Execution
from client.place import ALONE, Place
from client.recipe import Recipe
from client.replicas import join
from client.steps import Setting
from client.training import train
from common.state import Array, digest_state
from common.study import Study
from common.workbench import Workbench, open_workbench

TEXTS = ("fever and cough", "rash", "pulse normal", "sprain and fever", "weight low", "sleep reduced", "chills") * 2
TARGETS = np.array((1, 0, 0, 0, 1, 1, 0) * 2)
RECIPE = Recipe(learning_rate=0.01, batch_size=5, epochs=3, weight_decay=0.1, clip_norm=0.1, proximal_mu=0.1)


def without_dropout(study: Study, model: str) -> Workbench:
    """Each process would draw its own."""
    bench = open_workbench(study, Path(model))
    for module in bench.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return bench


def trained(bench: Workbench, recipe: Recipe, place: Place) -> tuple[Mapping[str, Array], float]:
    torch.set_num_threads(1)
    found = train(
        bench,
        list(bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length)),
        recipe,
        active=bench.parameters,
        execution=Execution(),
        rng=np.random.default_rng(0),
        dropout_seed=0,
        setting=Setting(place=place),
    )
    return bench.read(), found.loss


def one_of_two(rank: int, study: Study, model: str, folder: str, recipe: Recipe) -> None:
    """What each process does: meet the other, train, leave the state behind."""
    with join(rank, 2, meeting=Path(folder) / "meeting", backend="gloo") as place:
        state, loss = trained(without_dropout(study, model), recipe, place)
        torch.distributed.barrier()  # who leaves while the other still talks can end it with an abort; a team is killed
    save_file({**state, "loss": np.array([loss])}, f"{folder}/rank-{rank}.safetensors")


@pytest.mark.processes
@pytest.mark.parametrize(
    "changes",
    [{"accumulate": 2}, *(pytest.param(each, marks=pytest.mark.slow) for each in ({}, {"batch_size": 1}))],
    ids=str,
)
def test_two_processes_are_one(
    changes: dict[str, Any], make_study: Callable[..., Study], tiny_model: Path, tmp_path: Path
) -> None:
    """14 rows in batches of 5, so that parts are unequal; with batches of 1 one process has nothing to do."""
    study, recipe = make_study("peft={method='lora', dropout=0.0}"), replace(RECIPE, **changes)
    arguments = (study, str(tiny_model), str(tmp_path), recipe)
    torch.multiprocessing.spawn(one_of_two, args=arguments, nprocs=2)  # type: ignore[no-untyped-call,attr-defined] # torch's
    alone, loss = trained(without_dropout(study, str(tiny_model)), recipe, ALONE)
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in (0, 1))
    assert digest_state(first) == digest_state(second)
    assert float(first.pop("loss")[0]) == pytest.approx(loss, rel=1e-5)
    assert max(float(np.abs(first[name] - alone[name]).max()) for name in alone) < 1e-6


def test_alone_nothing_is_summed() -> None:
    loss = torch.tensor(1.0)
    assert ALONE.sum_over([], loss) is loss
