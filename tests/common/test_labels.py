"""How many patients the smallest group of a site's rows has, by which metrics are withheld."""

from typing import Any

import numpy as np
import pytest

from common.labels import rarest
from common.tasks.causal_lm import CausalLm
from common.tasks.regression import Regression
from common.tasks.sequence_classification import SequenceClassification

CLASSES = SequenceClassification(labels=("0", "1"))
PATIENTS = [f"p{number}" for number in range(20)]


def text_of(number: int) -> str:
    return f"finding {number}"


@pytest.mark.parametrize(("task", "label"), [(CLASSES, int), (Regression(), float), (CausalLm(), text_of)])
def test_two_classes_are_classes_whatever_the_task_calls_them(task: Any, label: Any) -> None:
    """Else a study that asks for a number, or for a text, would count the one patient who has the rare diagnosis."""
    labels = task.stack([label(int(number < 3)) for number in range(20)])
    assert rarest(task, labels, ["p0", "p0", "p0", *PATIENTS[3:]]) == 1


@pytest.mark.parametrize(("task", "label"), [(Regression(), float), (CausalLm(), text_of)])
def test_where_each_row_says_something_else_all_patients_are_the_group(task: Any, label: Any) -> None:
    for count in (3, 20):
        labels = task.stack([label(number) for number in range(count)])
        assert rarest(task, labels, PATIENTS[:count]) == count


def test_a_scale_of_few_steps_is_one_of_classes_and_one_of_many_is_not() -> None:
    few, many = np.arange(60.0) % 10, np.arange(60.0) % 11
    patients = [f"p{number}" for number in range(60)]
    assert (rarest(Regression(), few, patients), rarest(Regression(), many, patients)) == (6, 60)


def test_without_rows_there_is_nobody() -> None:
    assert rarest(Regression(), np.empty(0), []) == 0
