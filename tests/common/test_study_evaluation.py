"""What a study may ask for at the end, and that asking for nothing leaves its digest as it was."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from common.errors import StudyError
from common.files import digest_json
from common.study import Study, replaced
from common.study_evaluation import EvaluationSection, check_evidence, digested

COLUMNS = {
    "age": "number",
    "pressure": {"type": "number", "cut_points": [120], "words": ["low", "high"]},
    "sex": {"type": "category", "mapping": {"0": "woman", "1": "man"}},
    "note": "text",
}


def study(make_study: Callable[..., Study], **evaluation: object) -> Study:
    """The study of the tests with these columns and keys of `evaluation`."""
    changes = {f"evaluation.{key}": value for key, value in evaluation.items()}
    return replaced(make_study(), {"data.columns": COLUMNS, "data.template": "{note}", **changes})


def test_asking_for_nothing_leaves_the_digest_of_earlier_versions(make_study: Callable[..., Study]) -> None:
    found = make_study()
    content = found.model_dump(mode="json", exclude={"simulation": True, "base_model": {"source": True}})
    for key in ("cohort", "recalibration", "subgroups", "subgroup_cuts", "small_cell"):
        del content["evaluation"][key]
    assert found.digest == digest_json(content)
    assert not found.evaluation.asks_more


@pytest.mark.parametrize(
    "evaluation",
    [
        {"cohort": True},
        {"recalibration": True},
        {"small_cell": 5},
        {"subgroups": ["sex"]},
        {"subgroups": ["age"], "subgroup_cuts": {"age": [50]}},
        {"subgroups": ["age"], "subgroup_cuts": {"age": [65]}},
    ],
)
def test_what_is_asked_for_is_in_the_digest(make_study: Callable[..., Study], evaluation: dict[str, object]) -> None:
    assert study(make_study, **evaluation).digest != study(make_study).digest


def test_other_cuts_are_another_study(make_study: Callable[..., Study]) -> None:
    cut = [study(make_study, subgroups=["age"], subgroup_cuts={"age": [cut]}).digest for cut in (50, 65)]
    assert cut[0] != cut[1]


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({"subgroups": ["height"]}, "names 'height', which is not a number or category"),
        ({"subgroups": ["note"]}, "there are: age, pressure, sex"),
        ({"subgroups": ["age"]}, "no cut_points: give evaluation.subgroup_cuts = { age = "),
        ({"subgroups": ["sex"], "subgroup_cuts": {"sex": [1]}}, "is a category"),
        ({"subgroup_cuts": {"age": [50]}}, "not among subgroups"),
        ({"subgroups": ["age"], "subgroup_cuts": {"age": [65, 50]}}, "ascend"),
        ({"subgroups": ["age"], "subgroup_cuts": {"age": []}}, "ascend"),
        ({"subgroups": ["sex", "sex"]}, "differ"),
        ({"small_cell": 2}, "at least 3"),
        ({"small_cell": -1}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_refused(make_study: Callable[..., Study], evaluation: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        study(make_study, **evaluation)


def test_a_numbers_own_cut_points_are_enough(make_study: Callable[..., Study]) -> None:
    assert study(make_study, subgroups=["pressure", "sex"], small_cell=0).evaluation.asks_more


@pytest.mark.parametrize("asked", [{"cohort": True}, {"recalibration": True}, {"subgroups": ["sex"]}])
def test_a_study_that_hides_patients_asks_for_none_of_it(
    make_study: Callable[..., Study], asked: dict[str, object]
) -> None:
    found = study(make_study, **asked)
    check_evidence(found)
    hiding = replaced(found, {"privacy": {"mechanism": "patient-dp", "epsilon": 3.0}, "data.patient_id": "patient"})
    with pytest.raises(StudyError, match=r"do not go with privacy\.mechanism = 'patient-dp'"):
        check_evidence(hiding)


def test_only_what_is_asked_for_is_digested() -> None:
    content = EvaluationSection(cohort=True).model_dump(mode="json")
    assert "cohort" in digested(content)
    assert not {"recalibration", "subgroups", "subgroup_cuts", "small_cell"} & set(digested(content))
