"""What the student hears from the teacher, against formulas in numpy."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from client.data import Rows
from client.distilling.soft_targets import SoftTargets, distance_of, of_labels, of_numbers, teacher_logits
from client.execution import Execution
from client.forward import logits_of
from client.site_rows import prepare_rows
from common.errors import UserError
from common.study import Study
from common.workbench import Workbench

RNG = np.random.default_rng(0)
STUDENT, TEACHER = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_labels_are_as_many_coins(temperature: float) -> None:
    """KL of two coins with chances p and q: p log(p/q) + (1 - p) log((1 - p) / (1 - q))."""
    p, q = sigmoid(TEACHER / temperature), sigmoid(STUDENT / temperature)
    wanted = temperature**2 * np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    found = of_labels(torch.tensor(STUDENT), torch.tensor(TEACHER), temperature=temperature)
    assert float(found) == pytest.approx(wanted)


def test_numbers_are_compared_as_they_are() -> None:
    found = of_numbers(torch.tensor(STUDENT[:, 0]), torch.tensor(TEACHER[:, 0]), temperature=7.0)
    assert float(found) == pytest.approx(np.mean((STUDENT[:, 0] - TEACHER[:, 0]) ** 2))


@pytest.mark.parametrize("kind", ["sequence-classification", "multi-label-classification", "regression"])
def test_a_student_that_says_the_same_is_at_no_distance(kind: str) -> None:
    same = torch.tensor(TEACHER)
    assert float(distance_of(kind)(same, same.clone(), temperature=2.0)) == pytest.approx(0.0, abs=1e-12)


def test_the_weight_is_of_teacher_against_labels() -> None:
    """(1 - w) L + w D, divided by 1 - w; and the teacher's rows are those of the batch."""
    targets = SoftTargets(of_numbers, weight=0.75, temperature=1.0, teacher=torch.tensor([0.0, 1.0, 5.0]))
    assert float(targets.term(torch.tensor([2.0]), np.array([2]))) == pytest.approx(0.75 / 0.25 * 9)
    assert float(targets.term(torch.tensor([2.0, 2.0]), np.array([1, 0]))) == pytest.approx(3 * (1 + 4) / 2)


def test_the_teacher_s_logits_are_in_the_order_of_rows(
    open_bench: Callable[..., Workbench], make_study: Callable[..., Study], site_rows: Mapping[str, Rows]
) -> None:
    bench = open_bench()
    examples = prepare_rows(site_rows["east"], make_study(), bench).train.examples[:9]
    found = teacher_logits(bench, examples, Execution())
    with torch.no_grad():
        one_by_one = torch.cat([logits_of(bench, [example], Execution()) for example in examples])
    torch.testing.assert_close(found, one_by_one, atol=1e-5, rtol=1e-5)
    assert not found.requires_grad


def test_another_task_is_one_line() -> None:
    with pytest.raises(UserError, match=r"does not go with task\.kind = 'causal-lm'; it goes with sequence-class"):
        distance_of("causal-lm")
