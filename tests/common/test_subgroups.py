"""Subgroups end where the study says, whatever the rows are."""

from collections.abc import Callable

from common.cohort_statistics import MISSING, OTHER
from common.data_schema import NumberColumn
from common.study import Study, replaced
from common.subgroups import cut_names, number_levels, subgroup_levels


def test_a_value_equal_to_a_cut_is_above_it_as_in_a_sentence() -> None:
    column = NumberColumn(type="number", cut_points=(120, 140), words=("low", "raised", "high"))
    assert number_levels([119.9, 120.0, 140.0, None], column, ())[0] == ["low", "raised", "high", MISSING]
    assert number_levels([50.0, 64.9, 65.0], column, (50, 65))[0] == ["50 to under 65"] * 2 + ["65 or more"]
    assert cut_names([0.5]) == ["under 0.5", "0.5 or more"]


def test_levels_are_those_of_the_study_also_where_no_row_has_one(make_study: Callable[..., Study]) -> None:
    study = replaced(
        make_study(),
        {
            "data.columns": {
                "age": "number",
                "sex": {"type": "category", "mapping": {"0": "woman", "1": "man"}},
                "drug": "category",
                "note": "text",
            },
            "data.template": "{note}",
            "evaluation.subgroups": ["sex", "age", "drug"],
            "evaluation.subgroup_cuts": {"age": [50]},
        },
    )
    features = {"age": [30.0, None, 70.0], "sex": ["woman"] * 3, "drug": ["a", "a", "b"]}
    found = subgroup_levels(study, features, ["p", "q", "r"], least=2)
    assert list(found) == ["sex", "age", "drug"]
    assert found["sex"] == (["woman"] * 3, ["woman", "man", MISSING])
    assert found["age"] == (["under 50", MISSING, "50 or more"], ["under 50", "50 or more", MISSING])
    assert found["drug"] == (["a", "a", OTHER], ["a", OTHER, MISSING])
