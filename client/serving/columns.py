"""A request's rows as the study's columns: their types for OpenAPI, and what is said of a row that is none.

What is said names row and column, found and expected, and never a value: it may be a patient's.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any  # values are of JSON

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, create_model

from client.data.table import inputs_of, with_default_column
from common.data_schema import CategoryColumn, Column, DataSection, NumberColumn
from common.errors import DataError
from common.rendering import values_of
from common.study import Study

Value = StrictInt | StrictFloat | StrictStr | None
Raw = Mapping[str, Sequence[str]]
CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=False)
KINDS: Mapping[type, str] = {str: "a text", bool: "true or false", int: "a number", float: "a number", dict: "a table"}


class BadRowsError(DataError):
    """Rows of a request that the study's columns do not fit; the text goes to whoever sent them."""


def section_of(study: Study) -> DataSection:
    """Return the study's columns. Raises DataError where rows are more than text and numbers."""
    if study.data.kind != "table":
        raise DataError(
            f"data.kind = {study.data.kind!r}: a request has rows of text and numbers, no files; use fedpeft predict"
        )
    return with_default_column(study.data)


def row_model(section: DataSection) -> type[BaseModel]:
    """Return the type of one row: every column of the study by its own name, null where missing, and no others."""
    fields: dict[str, Any] = {
        f"column_{number}": (Value, Field(alias=name, description=expected(column)))
        for number, (name, column) in enumerate(section.columns.items())
    }
    return create_model("Row", __config__=CLOSED, **fields)


def request_model(section: DataSection, *, most_rows: int, sites: Sequence[str]) -> type[BaseModel]:
    """Return the type of a request's body."""
    row = row_model(section)
    which = f"whose own parameters answer: one of {', '.join(sites)}" if sites else "not needed: no site has its own"
    fields: dict[str, Any] = {
        "rows": (Annotated[list[row], Field(min_length=1, max_length=most_rows)], ...),  # type: ignore[valid-type] # made above
        "site": (str | None, Field(default=None, description=which)),
    }
    return create_model("PredictRequest", __config__=ConfigDict(extra="forbid"), **fields)


def expected(column: Column) -> str:
    """Say what a column's value must be."""
    if isinstance(column, NumberColumn):
        return "a number, or null where missing"
    if isinstance(column, CategoryColumn) and column.mapping:
        return f"one of {', '.join(column.mapping)}, or null where missing"
    return "a text or number, or null where missing"


def texts_of(section: DataSection, rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return the texts that the model reads, as `fedpeft predict` makes them of a file with these cells.

    Raises:
        BadRowsError: a value is not what its column says.
    """
    raw = {name: [_cell(row[name]) for row in rows] for name in section.columns}
    _check_characters(raw)
    try:
        return inputs_of(raw, section).inputs
    except DataError:
        raise BadRowsError(_first_wrong(section, raw)) from None


def _cell(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(value)


def _check_characters(raw: Raw) -> None:
    """JSON can write half a character, which no tokenizer takes."""
    for name, cells in raw.items():
        for number, cell in enumerate(cells, start=1):
            try:
                cell.encode()
            except UnicodeEncodeError:
                half = f"row {number}, column {name!r}: found half a character (a lone surrogate), expected Unicode"
                raise BadRowsError(half) from None


def _first_wrong(section: DataSection, raw: Raw) -> str:
    for name, column in section.columns.items():
        for number, cell in enumerate(raw[name], start=1):
            try:
                values_of([cell], column, name=name)
            except DataError:
                length = f"a text of {len(cell)} characters"
                return f"row {number}, column {name!r}: found {length}, expected {expected(column)}"
    return "a row is not what the study's columns say"


def sentence(errors: Sequence[Mapping[str, Any]], section: DataSection, *, most_rows: int) -> str:
    """Return one sentence on the first of pydantic's errors, with its place and without its value."""
    error = errors[0]
    place, kind = list(error["loc"]), str(error["type"])
    if place and place[0] == "body":
        place = place[1:]
    if kind == "json_invalid" or not place:
        return 'the body is no JSON object; expected {"rows": [{column: value, ...}, ...]}'
    if place[0] != "rows":
        return f"{str(place[0])!r} is {_wrong(kind, error)}; expected rows, and site where sites have their own"
    if len(place) < 3:
        return _of_rows(place, kind, error, most_rows)
    where, name = f"row {int(place[1]) + 1}, column {str(place[2])[:40]!r}", str(place[2])
    if kind == "missing":
        return f"{where}: not there; expected {expected(section.columns[name])}"
    if kind == "extra_forbidden":
        return f"{where}: the study has no such column; send only {', '.join(section.columns)}"
    return f"{where}: found {found(error.get('input'))}, expected {expected(section.columns[name])}"


def _of_rows(place: Sequence[Any], kind: str, error: Mapping[str, Any], most_rows: int) -> str:
    if len(place) == 2:
        return f"row {int(place[1]) + 1}: found {found(error.get('input'))}, expected a table {{column: value, ...}}"
    if kind == "missing":
        return "rows: not there; expected a list of tables {column: value, ...}"
    if kind in ("too_long", "too_short"):
        count = len(error["input"])
        return f"rows: found {count}, expected 1 to {most_rows} in each request"
    return f"rows: found {found(error.get('input'))}, expected a list of tables {{column: value, ...}}"


def _wrong(kind: str, error: Mapping[str, Any]) -> str:
    return "not known" if kind == "extra_forbidden" else f"{found(error.get('input'))}"


def found(value: object) -> str:
    """Say of what kind a value is.

    >>> found(True), found([1]), found(None), found(1.5)
    ('true or false', 'a list', 'null', 'a number')
    """
    if value is None:
        return "null"
    return "a list" if isinstance(value, list) else KINDS.get(type(value), "something else")
