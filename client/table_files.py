"""A CSV, TSV or Parquet file as columns of text: nothing is guessed, missing is the empty text.

Errors name the file, never its folder, and no cell.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # a Parquet cell is of any type

from common.errors import DataError
from common.rendering import shown

RawTable = Mapping[str, Sequence[str]]
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_raw(path: Path) -> RawTable:
    """Return the columns of a file as text, each (n,), in the file's order.

    Raises:
        DataError: no such file, a kind of file not known, not readable, two columns of one name, or no rows.
    """
    if not path.is_file():
        raise DataError(f"data file {path.name!r} does not exist; is its path right?")
    if path.suffix in _SEPARATORS:
        names, rows = _read_separated(path, _SEPARATORS[path.suffix])
    elif path.suffix == ".parquet":
        names, rows = _read_parquet(path)
    else:
        raise DataError(f"data file {path.name!r} is of a kind not known; give .csv, .tsv or .parquet")
    return _checked(path.name, [name.strip() for name in names], rows)


def _checked(file: str, names: Sequence[str], columns: Sequence[Sequence[str]]) -> RawTable:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"data file {file!r} has two columns named {shown(twice[0])}; rename one")
    if not columns or not columns[0]:
        raise DataError(f"data file {file!r} has no rows; it needs a header line and at least one row")
    return dict(zip(names, columns, strict=True))


def _read_separated(path: Path, separator: str) -> tuple[list[str], list[list[str]]]:
    import pandas as pd

    try:
        # The header is read as a row: pandas would rename double names, and take a first column without name as index.
        frame = pd.read_csv(path, sep=separator, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise DataError(f"data file {path.name!r} is empty; it needs a header line and at least one row") from None
    except pd.errors.ParserError as error:
        raise DataError(_uneven(path.name, str(error))) from None
    except UnicodeDecodeError:
        raise DataError(f"data file {path.name!r} is not UTF-8; save it again with that encoding") from None
    columns = [frame[column].fillna("").tolist() for column in frame.columns]  # a short row has no text at its end
    return [column[0] for column in columns], [column[1:] for column in columns]


def _uneven(file: str, message: str) -> str:
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if found is None:
        return f"data file {file!r} cannot be read as a table; is a quotation mark left open?"
    expected, line, saw = found.groups()
    return f"data file {file!r}, line {line}: {saw} fields where the header has {expected}; quote fields with commas"


def _read_parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Without pandas: it would hide an index column, and turn whole numbers beside missing ones into floats.
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError):
        raise DataError(f"data file {path.name!r} is not a readable Parquet file; write it again") from None
    return list(table.column_names), [[_text(value) for value in column.to_pylist()] for column in table.columns]


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)
