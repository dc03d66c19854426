"""The gate's own look at evidence: it does not believe what made it."""

from typing import Any

import pytest

from client.evidence_gate import NOT_RELEASED, let_out
from client.policy import Policy
from common.cohort_statistics import Cohort, Numbers
from common.metrics.recalibration import Map, Recalibration
from common.metrics.types import Metric, Scores
from common.site_evidence import SiteEvidence, Subgroup

METRICS = {"auroc": Metric(0.7, 30), "brier": Metric(0.2, 30)}
EVIDENCE = SiteEvidence(
    small_cell=10,
    cohort=Cohort(10, 90, 90, {"yes": 50, "no": 40}, {"sex": {"f": 45, "m": 45}}, {"age": Numbers(90, 0, 1.0, 1.0)}),
    subgroups={"sex": {"f": Subgroup(Scores(30, 30, METRICS)), "m": None}},
    recalibration=Recalibration(None, Map("temperature", {"temperature": 2.0}), 20, {"brier": Metric(0.2, 30)}),
)
OPEN = Policy(release_cohort=True)


def test_what_the_policy_allows_passes_unchanged() -> None:
    assert let_out(EVIDENCE, OPEN) == EVIDENCE


@pytest.mark.parametrize("rule", [{"release_cohort": False}, {"small_cell": 11}, {"small_cell": 46}])
def test_what_it_does_not_allow_stays(rule: dict[str, Any]) -> None:
    assert let_out(EVIDENCE, OPEN.model_copy(update=rule)) is None


def cohort(**changes: Any) -> SiteEvidence:
    assert EVIDENCE.cohort is not None
    return SiteEvidence(10, Cohort(**{**vars(EVIDENCE.cohort), **changes}))


@pytest.mark.parametrize(
    "evidence",
    [
        cohort(labels={"yes": 88, "no": 2}),
        cohort(categories={"sex": {"f": 9, "m": 81}}),
        cohort(numbers={"age": Numbers(81, 9, 1.0, 1.0)}),
        SiteEvidence(10, subgroups={"sex": {"f": Subgroup(Scores(12, 9, METRICS))}}),
    ],
)
def test_a_small_cell_that_was_not_hidden_keeps_all_of_it_here(evidence: SiteEvidence) -> None:
    assert let_out(evidence, OPEN) is None


def test_metrics_that_may_not_leave_do_not_leave_by_another_door() -> None:
    found = let_out(EVIDENCE, OPEN.model_copy(update={"metrics": ("auroc",)}))
    assert found is not None
    assert found.subgroups is not None
    assert found.recalibration is not None
    (subgroup,) = found.shown()
    assert subgroup.scores.metrics["auroc"] == METRICS["auroc"]
    assert subgroup.scores.metrics["brier"] == Metric(None, 30, reason=NOT_RELEASED)
    assert found.recalibration.before["brier"].value is None
