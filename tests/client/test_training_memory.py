"""What training holds beside the model: moments and gradients of the trained tensors, and of no frozen one."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from client.execution import Execution
from client.recipe import Recipe
from client.training import train
from common import plugins
from common.workbench import Workbench

METHODS = plugins.available("common.peft_methods")
Open = Callable[..., Workbench]
TEXTS = ("fever and cough", "rash", "pulse normal, sleep reduced and fever", "sprain, weight better and chills")


@dataclass
class Seen:
    """What there was right after each optimizer step, before gradients are dropped."""

    parameters: list[nn.Parameter]
    gradients: list[set[int]] = field(default_factory=list)
    managed: set[int] = field(default_factory=set)
    elements: dict[int, int] = field(default_factory=dict)

    def __call__(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        self.gradients.append({id(p) for p in self.parameters if p.grad is not None})
        self.managed = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.elements = {id(p): sum(t.numel() for t in moments.values()) for p, moments in optimizer.state.items()}


def seen_while_training(bench: Workbench, active: Collection[str]) -> Seen:
    seen = Seen([*bench.model.parameters(), *bench.head.parameters()])
    handle = register_optimizer_step_post_hook(seen)
    try:
        train(
            bench,
            bench.task.encode(bench.reader, TEXTS, np.int64([1, 0, 1, 0]), max_length=bench.max_length),
            Recipe(learning_rate=0.01, batch_size=2, steps=2, clip_norm=1.0),
            active=active,
            execution=Execution(),
            rng=np.random.default_rng(0),
            dropout_seed=0,
        )
    finally:
        handle.remove()
    return seen


def check(bench: Workbench, active: Collection[str]) -> None:
    """AdamW has two moments of a tensor's size and one count; a gradient is there for a step, and gone after it."""
    sizes = {id(bench.parameters[name]): bench.parameters[name].numel() for name in active}
    seen = seen_while_training(bench, active)
    assert seen.managed == set(sizes)
    for name in active:
        if name.endswith(".importance"):  # measured, and not stepped along
            del sizes[id(bench.parameters[name])]
    assert seen.gradients == [set(sizes)] * 2
    assert seen.elements == {which: 2 * size + 1 for which, size in sizes.items()}
    assert [p for p in seen.parameters if p.grad is not None] == []


@pytest.mark.parametrize("method", METHODS)
def test_frozen_tensors_have_no_moments_and_no_gradients(method: str, open_bench: Open) -> None:
    bench = open_bench(f"peft={{method='{method}'}}")
    check(bench, list(bench.parameters))


@pytest.mark.parametrize("method", METHODS)
def test_nor_have_those_that_are_not_trained_in_this_round(method: str, open_bench: Open) -> None:
    bench = open_bench(f"peft={{method='{method}'}}")
    check(bench, list(bench.parameters)[::2])
