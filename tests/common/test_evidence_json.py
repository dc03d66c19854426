"""A site's evidence survives its JSON; what another machine makes of it is refused."""

import copy
import json
from typing import Any

import numpy as np
import pytest

from common.cohort_statistics import Cohort, Numbers
from common.errors import SchemaError
from common.evidence_json import from_json, to_json
from common.metrics.classes import ClassMeasure
from common.metrics.histogram import score_histogram
from common.metrics.recalibration import Recalibration
from common.metrics.types import Metric, Scores
from common.site_evidence import SiteEvidence, Subgroup
from common.study_evaluation import EvaluationSection

HISTOGRAM = score_histogram(np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([1, 0]), classes=2)
EVIDENCE = SiteEvidence(
    small_cell=3,
    cohort=Cohort(
        3, 20, 18, {"yes": 12, "no": 8}, {"sex": {"f": None, "m": None}}, {"age": Numbers(20, 0, 900.0, 41000.0)}
    ),
    subgroups={
        "sex": {"f": Subgroup(Scores(2, 2, {"auroc": Metric(1.0, 2)}), HISTOGRAM), "m": None},
        "age": {"old": Subgroup(Scores(5, 4, {"auroc": Metric(None, 5, reason="one class only")}))},
    },
    recalibration=Recalibration("fewer than 10 validation rows"),
)


def read(content: Any) -> SiteEvidence:
    return from_json(content, ClassMeasure(2))


@pytest.mark.parametrize("evidence", [EVIDENCE, SiteEvidence(10), SiteEvidence(10, Cohort(10))])
def test_it_survives_its_own_json(evidence: SiteEvidence) -> None:
    again = read(json.loads(json.dumps(to_json(evidence))))
    assert to_json(again) == to_json(evidence)
    assert (again.cohort, again.parts) == (evidence.cohort, evidence.parts)


CHANGES: dict[str, tuple[list[str], Any]] = {
    "another key": (["more"], 1),
    "a cell of another kind": (["cohort", "labels", "yes"], 1.5),
    "a negative cell": (["cohort", "labels", "yes"], -1),
    "a truth value": (["cohort", "rows"], True),
    "numbers hidden in part": (["cohort", "numbers", "age", "total"], None),
    "a sum that is no number": (["cohort", "numbers", "age", "total"], "many"),
    "a sum that is not finite": (["cohort", "numbers", "age", "squares"], float("inf")),
    "a sum whose square is no number": (["cohort", "numbers", "age", "total"], 1e200),
    "squares whose sum over sites is no number": (["cohort", "numbers", "age", "squares"], 1.7e308),
    "a sum that no float holds": (["cohort", "numbers", "age", "total"], 10**400),
    "a table of no names": (["cohort", "categories"], [1]),
    "a name that is not printable": (["cohort", "labels", "a\nb"], 3),
    "a name that is too long": (["cohort", "labels", "a" * 201], 3),
    "too many names": (["cohort", "labels"], {str(i): 3 for i in range(1001)}),
    "a subgroup of other keys": (["subgroups", "sex", "f"], {"scores": None}),
    "a summary of other rows": (["subgroups", "sex", "f", "scores", "n"], 3),
    "no number of the smallest cell": (["small_cell"], None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_as_it_was_written_is_refused(change: str) -> None:
    content = copy.deepcopy(to_json(EVIDENCE))
    path, value = CHANGES[change]
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(SchemaError):
        read(content)


def test_a_site_tells_no_more_than_the_study_asks_for() -> None:
    asked = EvaluationSection(cohort=True, recalibration=True, subgroups=("sex", "age"), small_cell=3)
    assert EVIDENCE.is_asked_by(asked)
    for change in ({"cohort": False}, {"recalibration": False}, {"subgroups": ("sex",)}, {"small_cell": 10}):
        assert not EVIDENCE.is_asked_by(asked.model_copy(update=change))


def test_every_count_of_patients_is_looked_at() -> None:
    assert sorted(EVIDENCE.counts()) == [0, 2, 4, 8, 12, 20]
    assert EVIDENCE.parts == ("cohort", "subgroups", "recalibration")
