"""Who approves a study reads what it will have told of their patients."""

from collections.abc import Callable

from client.explain_evidence import evidence_lines
from client.policy import Policy
from common.study import Study

ASKS = (
    "evaluation.cohort=true",
    "evaluation.recalibration=true",
    "evaluation.subgroups=['age']",
    "evaluation.subgroup_cuts={age=[50]}",
)


def said(study: Study, policy: Policy) -> str:
    return "\n".join(evidence_lines(study, policy))


def test_nothing_asked_for_is_said(make_study: Callable[..., Study]) -> None:
    assert "none is asked for" in said(make_study(), Policy())


def test_that_two_studies_can_be_compared_is_said(make_study: Callable[..., Study]) -> None:
    assert "can be compared with it" in said(make_study(*ASKS), Policy(release_cohort=True))
    assert "can be compared with it" not in said(make_study(*ASKS), Policy())


def test_what_leaves_is_said_part_by_part_with_the_larger_least_cell(make_study: Callable[..., Study]) -> None:
    found = said(make_study(*ASKS), Policy(release_cohort=True, small_cell=25))
    assert "of fewer than 25 patients nothing" in found
    assert "sums of squares, of age" in found
    assert "subgroups: the metrics of test rows by age" in found
    assert "recalibration: " in found


def test_what_the_policy_keeps_is_said_to_stay(make_study: Callable[..., Study]) -> None:
    assert "none leaves: the policy's release_cohort is false" in said(make_study(*ASKS), Policy())
