"""A row as text: raw values to typed values by the study's columns, then phrases into the template.

Pure functions. An error names column and row, never a value that could be a patient's: only categories, whose values
are words of the schema, are shown. Rows count from 1, the header aside.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal

from common.data_schema import (
    PLACEHOLDER,
    CategoryColumn,
    Column,
    DataSection,
    NumberColumn,
    TextColumn,
    canonical,
)
from common.errors import DataError

Value = float | str | None
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def number_of(raw: str) -> float | None:
    """Return the finite number that `raw` spells, or None.

    >>> number_of(" 63.0 "), number_of(".7"), number_of("1,5"), number_of("1_000"), number_of("inf")
    (63.0, 0.7, None, None, None)
    """
    text = raw.strip()  # strips more kinds of white space than float does
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def is_missing(raw: str, declared: Sequence[str] = ()) -> bool:
    """Say whether `raw` stands for no value: empty, `?`, NaN in any case, or as declared (0 is then also 0.0).

    >>> is_missing(" "), is_missing("NaN"), is_missing("0.00", ["0"]), is_missing("0")
    (True, True, True, False)
    """
    text = raw.strip()
    if text in ("", "?") or text.casefold() == "nan":
        return True
    number = number_of(text) if declared else None
    return any(text == other.strip() or (number is not None and number == number_of(other)) for other in declared)


def shown(raw: str) -> str:
    """Return a category's value for an error: in quotes, or only its length where it must be free text."""
    return repr(raw) if len(raw) <= 40 else f"a text of {len(raw)} characters"


def values_of(raw: Sequence[str], column: Column, *, name: str) -> list[Value]:
    """Return the typed values of a column: floats, words or texts, None where missing.

    Raises:
        DataError: a value is not a number, or is outside the column's mapping.
    """
    words = {canonical(key): word for key, word in column.mapping.items()} if isinstance(column, CategoryColumn) else {}
    return [
        None if is_missing(text, column.missing) else _value(text, column, words, name=name, row=row)
        for row, text in enumerate(raw, start=1)
    ]


def _value(raw: str, column: Column, words: Mapping[str, str], *, name: str, row: int) -> float | str:
    if isinstance(column, NumberColumn):
        return _number(raw, name=name, row=row)
    if isinstance(column, TextColumn):
        return raw.strip()
    if not words:
        return canonical(raw)
    word = words.get(canonical(raw))
    if word is None:
        raise DataError(
            f"column {name!r}, row {row}: {shown(raw)} is not in data.columns.{name}.mapping, "
            f"which has {', '.join(column.mapping)}; add it there, or to data.columns.{name}.missing"
        )
    return word


def _number(raw: str, *, name: str, row: int) -> float:
    number = number_of(raw)
    if number is None:
        raise DataError(
            f"column {name!r}, row {row}: a value that is not a number; "
            f"if it means missing, add it to data.columns.{name}.missing"
        )
    return number


def number_text(number: float, decimals: int | None = None) -> str:
    """Return a number in plain digits: as short as it is exact, or with so many decimals.

    >>> number_text(63.0), number_text(2.30), number_text(1e-7), number_text(2.25, 1), number_text(-0.0)
    ('63', '2.3', '0.0000001', '2.2', '0')
    """
    if decimals is not None:
        return f"{number:z.{decimals}f}"
    return f"{Decimal(repr(number + 0.0)).normalize():f}"


def phrase_of(value: Value, column: Column, *, name: str) -> str:
    """Return the phrase of one value, empty where it is missing.

    >>> pressure = NumberColumn(type="number", cut_points=(120, 140), words=("normal", "raised", "high"))
    >>> phrase_of(140.0, pressure, name="pressure"), phrase_of(119.0, pressure, name="pressure")
    ('pressure high', 'pressure normal')
    """
    if value is None:
        return ""
    parts = {"name": name, "value": _words_of(value, column)}
    return PLACEHOLDER.sub(lambda match: parts[match.group(1)], column.phrase)


def _words_of(value: float | str, column: Column) -> str:
    if isinstance(value, str) or not isinstance(column, NumberColumn):
        return str(value)
    if column.words:
        return column.words[bisect_right(column.cut_points, value)]
    return number_text(value, column.decimals)


def render(section: DataSection, values: Mapping[str, Value]) -> str:
    """Return the text of one row: the template with each column's phrase, white space squeezed.

    Values are put in once: braces in a patient's text are text.

    >>> columns = {"age": "number", "sex": "category"}
    >>> section = DataSection.model_validate({"template": "{sex} {age}", "columns": columns})
    >>> render(section, {"age": 63.0, "sex": None})
    'age 63'
    """
    phrases = {name: phrase_of(values[name], column, name=name) for name, column in section.columns.items()}
    text = PLACEHOLDER.sub(lambda match: phrases[match.group(1)], section.template or "")
    return " ".join(text.split())
