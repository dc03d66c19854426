"""What each step of training says of itself, against a loop that looks at the model before and after."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from torch import nn

from client.execution import Execution
from client.recipe import Recipe
from client.steps import Setting, Step
from client.training import set_training_mode, train
from common.state import Array, norm, subtract
from common.tasks import Example
from common.workbench import Workbench

RECIPE = Recipe(learning_rate=0.01, batch_size=4, epochs=2, schedule="linear", warmup_fraction=0.25, clip_norm=0.05)
TEXTS = ("fever and cough", "rash", "pulse normal", "sprain and fever", "weight low", "sleep reduced and chills")
TARGETS = np.array((1, 0, 0, 0, 1, 1))
Open = Callable[..., Workbench]


@pytest.fixture
def bench(open_bench: Open) -> Workbench:
    bench = open_bench("peft={method='lora', dropout=0.0}")
    for module in bench.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return bench


def examples_of(bench: Workbench) -> list[Example]:
    return list(bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length))  # type: ignore[arg-type]


def steps_of(bench: Workbench, recipe: Recipe, look: Callable[[Step], None], *, update_norms: bool = True) -> None:
    train(
        bench,
        examples_of(bench),
        recipe,
        active=bench.parameters,
        execution=Execution(),
        rng=np.random.default_rng(0),
        dropout_seed=0,
        setting=Setting(after_step=look, update_norms=update_norms),
    )


def test_steps_are_reported_one_by_one_after_each_has_moved_the_model(bench: Workbench) -> None:
    states, seen = [bench.read()], []

    def look(step: Step) -> None:
        states.append(bench.read())
        seen.append(step)

    steps_of(bench, RECIPE, look)
    assert [step.number for step in seen] == [0, 1, 2, 3]
    moved = [norm(subtract(after, before)) for before, after in pairwise(states)]
    assert [float(step.update_norm) for step in seen if step.update_norm is not None] == pytest.approx(moved, rel=1e-3)


def test_the_learning_rate_is_that_of_the_schedule(bench: Workbench) -> None:
    """4 steps in one round: at 0, 1/4, 1/2 and 3/4 of the study, with a warm-up of a quarter and linear from there."""
    rates: list[float] = []
    steps_of(bench, RECIPE, lambda step: rates.append(step.learning_rate))
    assert rates == pytest.approx([0.0, 0.01, 0.01 * 2 / 3, 0.01 / 3])


def test_loss_and_gradient_norm_are_those_of_the_rows_before_clipping(bench: Workbench) -> None:
    """One batch of all rows: the loss and the gradient of the model as it was."""
    start, seen = bench.read(), list[Step]()
    recipe = replace(RECIPE, batch_size=6, epochs=1, warmup_fraction=0.0)
    steps_of(bench, recipe, seen.append)
    bench.write(start)
    batch = bench.task.collate(examples_of(bench), pad_id=0)
    loss = bench.task.loss(bench.task.logits(bench.model, bench.head, batch), batch)
    loss.backward()  # type: ignore[no-untyped-call] # torch's
    squares = sum(float((p.grad.double() ** 2).sum()) for p in bench.parameters.values() if p.grad is not None)
    assert float(seen[0].loss) == pytest.approx(float(loss.detach()), rel=1e-5)
    assert float(seen[0].gradient_norm) == pytest.approx(squares**0.5, rel=1e-4)
    assert float(seen[0].gradient_norm) > 0.05  # it was clipped


def test_nobody_pays_for_how_far_a_step_went_unless_they_ask(bench: Workbench) -> None:
    seen: list[Step] = []
    steps_of(bench, RECIPE, seen.append, update_norms=False)
    assert [step.update_norm for step in seen] == [None] * 4


def test_looking_changes_nothing(open_bench: Open) -> None:
    states: list[dict[str, Array]] = []
    for update_norms in (False, True):
        bench = open_bench()
        steps_of(bench, RECIPE, lambda _: None, update_norms=update_norms)
        states.append(bench.read())
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_batch_norm_keeps_the_base_model_s_statistics(bench: Workbench) -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Sequential(nn.BatchNorm2d(3)))
    set_training_mode(replace(bench, model=model))
    assert [module.training for module in (model[0], model[1], model[2][0])] == [False, True, False]
    assert bench.head.training
