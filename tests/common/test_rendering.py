import math
import string
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data_schema import CategoryColumn, DataSection, NumberColumn, TextColumn
from common.errors import DataError
from common.rendering import is_missing, number_of, number_text, phrase_of, render, values_of

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
CUTS = st.lists(st.integers(-100, 100), min_size=1, max_size=6, unique=True).map(sorted)


@given(NUMBERS)
def test_a_number_written_plainly_is_the_same_number(number: float) -> None:
    text = number_text(number)
    assert number_of(text) == number
    assert set(text) <= set(string.digits + "-.")


@given(NUMBERS.filter(lambda x: abs(x) < 1e9), st.integers(0, 6))
def test_decimals_round_to_the_nearest_and_never_write_minus_zero(number: float, decimals: int) -> None:
    text = number_text(number, decimals)
    assert abs(Decimal(text) - Decimal(number)) <= Decimal(10) ** -decimals / 2
    assert not (text.startswith("-") and float(text) == 0)


@given(st.text(max_size=8) | st.text("0123456789.eE+-_ \x1c\u0663", max_size=8))
def test_a_number_is_finite_and_agrees_with_python(raw: str) -> None:
    number = number_of(raw)
    if number is not None:
        assert math.isfinite(number)
        assert number == float(raw.strip())


@given(CUTS, st.floats(-200, 200))
def test_the_word_counts_the_cut_points_reached(cuts: list[int], number: float) -> None:
    words = tuple(f"w{i}" for i in range(len(cuts) + 1))
    column = NumberColumn(type="number", cut_points=tuple(cuts), words=words, phrase="{value}")
    assert phrase_of(number, column, name="x") == f"w{sum(number >= cut for cut in cuts)}"


@given(st.integers(-1000, 1000))
def test_whole_numbers_match_with_and_without_a_point(code: int) -> None:
    column = CategoryColumn(type="category", mapping={str(code): "yes"})
    assert values_of([f"{code}", f"{code}.0", f" {code}. "], column, name="c") == ["yes"] * 3
    declared = CategoryColumn(type="category", missing=(str(code),))
    assert values_of([f"{code}.00"], declared, name="c") == [None]


@pytest.mark.parametrize("raw", ["", "  ", "?", "nan", "NaN", "NAN"])
@pytest.mark.parametrize("kind", ["number", "category", "text"])
def test_missing_values_leave_no_trace(raw: str, kind: str) -> None:
    section = DataSection.model_validate({"columns": {"x": kind, "age": "number"}, "template": "start {x}  {age}"})
    values = {
        name: values_of([text], section.columns[name], name=name)[0] for name, text in (("x", raw), ("age", "63"))
    }
    assert is_missing(raw)
    assert render(section, values) == "start age 63"


def test_zero_is_a_value_unless_declared() -> None:
    assert values_of(["0"], NumberColumn(type="number"), name="chol") == [0.0]
    assert values_of(["0", "0.0"], NumberColumn(type="number", missing=("0",)), name="chol") == [None, None]


@given(st.text(alphabet="{}agevlun .!:[]", max_size=20))
def test_braces_in_a_text_are_text(note: str) -> None:
    section = DataSection.model_validate({"columns": {"note": "text", "age": "number"}, "template": "{note} {age}"})
    assert render(section, {"note": note, "age": 1.0}) == " ".join(f"{note} age 1".split())


def test_phrases_name_the_column() -> None:
    section = DataSection.model_validate({"columns": {"chest pain": "category", "age": "number"}})
    assert render(section, {"chest pain": "typical", "age": 63.0}) == "chest pain typical age 63"


def test_an_unknown_code_is_named_with_its_row() -> None:
    column = CategoryColumn(type="category", mapping={"1": "man", "0": "woman"})
    with pytest.raises(DataError, match=r"'sex', row 3: '2' is not in data.columns.sex.mapping, which has 1, 0"):
        values_of(["1", "0", "2"], column, name="sex")


def test_a_value_that_is_no_number_is_not_shown() -> None:
    with pytest.raises(DataError) as caught:
        values_of(["1", "Jane Doe"], NumberColumn(type="number"), name="age")
    assert "'age', row 2: a value that is not a number" in str(caught.value)
    assert "Jane" not in str(caught.value)


def test_a_long_text_in_place_of_a_code_is_not_shown() -> None:
    column = CategoryColumn(type="category", mapping={"1": "man"})
    with pytest.raises(DataError) as caught:
        values_of(["Jane Doe was admitted on Sunday with chest pain"], column, name="sex")
    assert "Jane" not in str(caught.value)


def test_a_text_keeps_its_digits() -> None:
    assert values_of([" 63.0 "], TextColumn(type="text"), name="note") == ["63.0"]
