"""Distillation from where training began: the divergence by its formula, and what it does to training."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from torch.nn import functional

from client.distillation import Distillation, divergence, make_distillation
from client.execution import Execution
from client.recipe import Recipe
from client.steps import Setting
from client.training import train
from common.state import digest_state
from common.tasks import Example
from common.workbench import Workbench

Open = Callable[..., Workbench]
TEXTS = ("fever and cough", "rash", "pulse normal", "sprain and fever", "weight low", "sleep reduced and chills")
TARGETS = np.array((1, 0, 0, 0, 1, 1))


def examples_of(bench: Workbench) -> list[Example]:
    return list(bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length))  # type: ignore[arg-type]


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    return torch.tensor(rng.normal(0, 2, (5, 3))), torch.tensor(rng.normal(0, 2, (5, 3)))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_divergence_is_scipy_s(temperature: float) -> None:
    student, teacher = drawn()
    p, q = softmax(teacher.numpy() / temperature, axis=1), softmax(student.numpy() / temperature, axis=1)
    expected = temperature**2 * rel_entr(p, q).sum(axis=1).mean()
    assert float(divergence(student, teacher, temperature=temperature)) == pytest.approx(expected, rel=1e-12)


def test_it_is_torch_s_kl_div_with_the_teacher_first() -> None:
    student, teacher = drawn()
    expected = functional.kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean")
    assert float(divergence(student, teacher, temperature=1.0)) == pytest.approx(float(expected), rel=1e-12)
    assert float(divergence(teacher, teacher, temperature=3.0)) == 0


def test_each_row_has_its_own_teacher(open_bench: Open) -> None:
    """Rows are scored in the order of their lengths, and asked for in any."""
    bench = open_bench()
    made = make_distillation(bench, examples_of(bench), weight=2.0, temperature=1.0, execution=Execution())
    bench.model.eval()
    with torch.no_grad():
        for row, example in enumerate(examples_of(bench)):
            logits = bench.task.logits(bench.model, bench.head, bench.task.collate([example], pad_id=0))
            torch.testing.assert_close(made.teacher[row], logits[0], rtol=1e-4, atol=1e-5)
    student, rows = torch.zeros(2, 2), np.array([4, 1])
    expected = 2 * divergence(student, made.teacher[[4, 1]], temperature=1.0)
    assert float(made.term(student, rows)) == float(expected)
    assert not made.teacher.requires_grad


def test_training_stays_the_nearer_to_the_teacher_the_larger_the_weight(open_bench: Open) -> None:
    far, recipe = [], Recipe(learning_rate=0.01, batch_size=4, epochs=8, accumulate=2)
    for weight in (0.0, 1.0, 100.0):
        bench = open_bench()
        start = bench.read()
        made = make_distillation(bench, examples_of(bench), weight=weight, temperature=2.0, execution=Execution())
        assert digest_state(bench.read()) == digest_state(start)
        train(
            bench,
            examples_of(bench),
            recipe,
            active=bench.parameters,
            execution=Execution(),
            rng=np.random.default_rng(0),
            dropout_seed=0,
            setting=Setting(regularisers=(made,)),
        )
        now = make_distillation(bench, examples_of(bench), weight=weight, temperature=2.0, execution=Execution())
        far.append(float(divergence(now.teacher, made.teacher, temperature=1.0)))
    assert far[0] > 2 * far[1] > 2 * far[2]


def test_a_term_of_weight_0_changes_nothing() -> None:
    student, teacher = drawn()
    assert float(Distillation(0.0, 2.0, teacher).term(student, np.arange(5))) == 0
