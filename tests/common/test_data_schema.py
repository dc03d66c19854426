import pytest
from pydantic import ValidationError

from common.data_schema import DataSection, NumberColumn
from common.files import canonical_json


def section(**content: object) -> DataSection:
    return DataSection.model_validate(content)


def test_a_written_section_reads_back_as_itself() -> None:
    first = section(
        patient_id="id",
        columns={
            "age": "number",
            "bp": {"type": "number", "cut_points": [120, 140], "words": ["low", "raised", "high"], "missing": [0]},
            "sex": {"type": "category", "mapping": {"1": "man", "0": "woman"}},
            "note": "text",
        },
    )
    assert DataSection.model_validate(first.model_dump(mode="json")) == first
    assert first.template == "{age} {bp} {sex} {note}"


def test_the_order_of_columns_is_in_the_digest_since_it_is_in_the_text() -> None:
    one = section(columns={"a": "number", "b": "number"}).model_dump(mode="json")
    other = section(columns={"b": "number", "a": "number"}).model_dump(mode="json")
    assert canonical_json(one) != canonical_json(other)


def test_the_default_is_a_plain_text() -> None:
    assert section() == DataSection()
    assert section().columns == {}
    assert section().template is None


def test_missing_values_may_be_written_as_numbers() -> None:
    column = section(columns={"a": {"type": "number", "missing": [0, -9.5, "NA"]}}).columns["a"]
    assert column.missing == ("0", "-9.5", "NA")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"columns": {"age": "numbr"}}, "numbr"),
        ({"columns": {"age": {"type": "number", "unit": "mmHg"}}}, "unit"),
        ({"columns": {"age": {"type": "number", "cut_points": [2, 1], "words": ["a", "b", "c"]}}}, "ascend"),
        ({"columns": {"age": {"type": "number", "cut_points": [1, 1], "words": ["a", "b", "c"]}}}, "ascend"),
        ({"columns": {"age": {"type": "number", "cut_points": [1, 2], "words": ["a", "b"]}}}, "need 3 words, found 2"),
        ({"columns": {"age": {"type": "number", "words": ["a"]}}}, "need 0 words, found 1"),
        (
            {"columns": {"a": {"type": "number", "cut_points": [1], "words": ["x", "y"], "decimals": 1}}},
            "decimals",
        ),
        ({"columns": {"age": {"type": "number", "cut_points": ["nan"], "words": ["a", "b"]}}}, "finite"),
        ({"columns": {"sex": {"type": "category", "mapping": {"1": "man", "1.0": "woman"}}}}, "twice"),
        ({"columns": {"sex": {"type": "category", "mapping": {"1": " "}}}}, "mapping"),
        ({"columns": {"sex": {"type": "category", "phrase": "man"}}}, "lacks {value}"),
        ({"columns": {"sex": {"type": "category", "phrase": "{value.__class__}"}}}, "value.__class__"),
        ({"columns": {"sex": {"type": "category", "phrase": "{value!r}"}}}, "value!r"),
        ({"columns": {"sex": {"type": "category", "phrase": "{value} {0}"}}}, "{0}"),
        ({"columns": {"sex": "category"}, "template": "{sex} {age}"}, "the columns are: sex"),
        ({"columns": {"sex": "category"}, "template": "{sex"}, "brace"),
        ({"columns": {"sex": "category"}, "template": "{{sex}}"}, "brace"),
        ({"columns": {"sex": "category"}, "template": "{sex.upper}"}, "sex.upper"),
        ({"template": "{text}"}, "give data.columns"),
        ({"columns": {"a{b}": "number"}}, "rename"),
        ({"columns": {"id": "category"}, "patient_id": "id"}, "identity"),
        ({"colums": {}}, "colums"),
    ],
)
def test_a_mistake_is_named(content: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DataSection.model_validate(content)
    assert message in str(caught.value)


def test_columns_do_not_change() -> None:
    column = NumberColumn(type="number")
    with pytest.raises(ValidationError):
        column.decimals = 2
