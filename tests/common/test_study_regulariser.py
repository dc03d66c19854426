"""What a study may say of regularisers, and for which tasks."""

from collections.abc import Callable

import pytest

from common import plugins
from common.errors import StudyError
from common.study import Study, TaskSection
from common.study_regulariser import DistillationSection, EwcSection, check_classifies
from common.study_task import task_of
from simulations.catalogue import load

EWC = "training.regulariser={kind='ewc', weight=2}"


def test_both_are_read_with_their_defaults(make_study: Callable[..., Study]) -> None:
    assert make_study(EWC).training.regulariser == EwcSection(kind="ewc", weight=2.0, rows=64)
    table = "training.regulariser={kind='distillation', weight=0.5, temperature=3}"
    expected = DistillationSection(kind="distillation", weight=0.5, temperature=3.0)
    assert make_study(table).training.regulariser == expected


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("{weight=1.0}", "kind"),
        ("{kind='l2', weight=1.0}", "kind"),
        ("{kind='ewc'}", "weight"),
        ("{kind='ewc', weight=0.0}", "weight"),
        ("{kind='ewc', weight=1.0, rows=0}", "rows"),
        ("{kind='ewc', weight=1.0, temperature=2.0}", "temperature"),
        ("{kind='distillation', weight=1.0, temperature=0.0}", "temperature"),
    ],
)
def test_what_is_wrong_is_one_line(table: str, said: str, make_study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError, match=said) as caught:
        make_study(f"training.regulariser={table}")
    assert "training.regulariser" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_task_without_classes_is_refused_in_one_line() -> None:
    with pytest.raises(StudyError, match=r"'ewc' compares probabilities of classes, of which task\.kind has none"):
        load("quick-scores", overrides=[EWC])


def test_every_task_either_goes_with_it_or_says_so() -> None:
    fits = []
    for name in plugins.available("common.tasks"):
        labels = {} if name in ("regression", "causal-lm") else {"labels": ("a", "b")}
        try:
            check_classifies(task_of(TaskSection.model_validate({"kind": name, **labels})).measure, kind="ewc")
            fits.append(name)
        except StudyError:
            pass
    assert fits == ["image-classification", "sequence-classification"]
