"""A rule that needs more sites than a study has is refused with the study; a round short of it has no quorum."""

from pathlib import Path
from typing import Any

import pytest

from common.errors import ParticipationError, StudyError
from common.protocol import Refusal
from server.aggregation.fedavg import FedAvg
from server.aggregation.median import Median
from server.aggregation.multi_krum import MultiKrum
from server.enough import raised_quorum
from server.quorum import needed_replies


@pytest.mark.parametrize("cohort", [5, 6, 7, 11, 100])
@pytest.mark.parametrize("quorum", [0.01, 0.5, 1.0])
def test_the_quorum_is_the_study_s_or_what_the_rule_needs(cohort: int, quorum: float) -> None:
    raised = raised_quorum(quorum, MultiKrum(), name="multi-krum", cohort_size=cohort)
    assert needed_replies(raised, cohort) == max(needed_replies(quorum, cohort), 5)
    assert raised_quorum(quorum, FedAvg(), name="fedavg", cohort_size=cohort) == quorum


def test_a_study_of_too_few_sites_is_refused_in_one_line() -> None:
    with pytest.raises(StudyError, match="'multi-krum' needs 7 sites in a round with these options, and 2 take part; "):
        raised_quorum(0.5, MultiKrum(byzantine=2), name="multi-krum", cohort_size=2)


def test_a_round_with_too_few_replies_is_asked_again_and_stops_the_run(lab: Any, tmp_path: Path) -> None:
    made = lab(4, site_a=lambda r, q: Refusal("REFUSED_BY_POLICY"), site_b=lambda r, q: Refusal("REFUSED_BY_POLICY"))
    quorum = raised_quorum(0.25, Median(), name="median", cohort_size=4)
    with pytest.raises(ParticipationError, match="round 1: 2 of 4 sites sent an accepted reply, 3 are needed"):
        made.run(strategy=Median(), quorum=quorum)
