"""The metric to search by."""

from collections.abc import Callable

import pytest

from common.errors import StudyError
from common.study import Study
from simulations.tune.facts import objective_of


def test_without_a_wish_it_is_what_chooses_rounds(make_study: Callable[..., Study]) -> None:
    assert objective_of(make_study(), None) == "auroc"
    assert objective_of(make_study(), "brier") == "brier"


def test_models_that_differ_between_sites_are_not_ranked_together(make_study: Callable[..., Study]) -> None:
    assert objective_of(make_study("peft.private=['head.*']"), None) == "log_loss"


def test_an_unknown_metric_is_named(make_study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError, match="'auc' is no metric of sequence-classification; there are: auroc, auprc"):
        objective_of(make_study(), "auc")
