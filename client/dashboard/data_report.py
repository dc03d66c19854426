"""The data report: what an approved study finds in the site's rows, as counts by column. No cell of a row is in it.

A file's errors can quote a cell or a header that is one, so none of them is shown: `fedpeft site check` says them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from client.dashboard.cells import Cell, Note, Table, Tone, table
from client.dashboard.small_cells import shown, shown_parts
from client.data.table import with_default_column
from client.row_check import ColumnReport, RowReport, check_rows
from common.data_schema import CategoryColumn, NumberColumn
from common.errors import UserError
from common.study import Study

_Key = tuple[int, int, int, str]


@dataclass(frozen=True)
class DataReport:
    """One study's: cards of (name, text, detail), tables, and notes."""

    study: str
    cards: tuple[tuple[str, str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[Note, ...] = ()


class Reports:
    """Makes reports, each once for one state of the rows' file and one study."""

    def __init__(self) -> None:
        self._known: dict[_Key, DataReport] = {}
        self._lock = Lock()

    def of(self, rows: Path, study: Study) -> DataReport:
        """Return the report of these rows for a study."""
        try:
            found = rows.stat()
        except OSError:
            return _failed(study, "The file of rows is not there, or cannot be read by this user.")
        key = (found.st_ino, found.st_size, found.st_mtime_ns, study.digest)
        with self._lock:  # one file in memory at a time
            if key not in self._known:
                self._known = {k: each for k, each in self._known.items() if k[:3] == key[:3]}
                self._known[key] = _made(rows, study)
            return self._known[key]


def _made(rows: Path, study: Study) -> DataReport:
    try:
        return report_of(check_rows(rows, study), study)
    except (UserError, OSError):
        return _failed(study, "The rows cannot be read as this study needs them; `fedpeft site check` says why.")


def _failed(study: Study, text: str) -> DataReport:
    return DataReport(study.name, notes=(Note(text, "bad"),))


def report_of(found: RowReport, study: Study) -> DataReport:
    """Return a report for a page."""
    return DataReport(
        study.name,
        cards=(("Rows", shown(found.rows), ""), ("Patients", shown(found.patients), _patients_by(study))),
        tables=tuple(_tables(found, study)),
        notes=tuple(_notes(found)),
    )


def _patients_by(study: Study) -> str:
    return f"by {study.data.patient_id}" if study.data.patient_id else "each row is its own patient"


def _tables(found: RowReport, study: Study) -> list[Table]:
    columns = [_column_row(each, study) for each in found.columns]
    columns += [[name, _kind(name, study), Cell("not in the file", tone="bad"), "", ""] for name in found.absent]
    tables = [
        table("Columns that the study reads", ["Column", "Read as", "Missing", "Not usable", "Because it is"], columns),
        _counts_table("Parts, in rows", "Part", found.parts, found.rows),
    ]
    return [*tables, *_label_tables(found)]


def _label_tables(found: RowReport) -> list[Table]:
    return [_counts_table("Labels, in rows", "Label", found.labels, found.rows)] if found.labels else []


def _counts_table(caption: str, name: str, parts: Mapping[str, int], rows: int) -> Table:
    known = shown_parts(parts, rows)
    shares = {part: f"{number / rows:.0%}" if known[part] == f"{number:,}" else "" for part, number in parts.items()}
    return table(caption, [name, "Rows", "Share"], [[part, known[part], shares[part]] for part in parts])


def _column_row(column: ColumnReport, study: Study) -> list[Cell | str]:
    tone: Tone = "bad" if column.wrong else ""
    return [
        column.name,
        _kind(column.name, study),
        shown(column.missing),
        Cell(shown(column.wrong), tone=tone),
        _because(column.name, study) if column.wrong else "",
    ]


def _kind(name: str, study: Study) -> str:
    columns = with_default_column(study.data).columns
    if name in columns:
        return columns[name].type
    return "label" if name == study.task.target else "patient's id"


def _because(name: str, study: Study) -> str:
    """Return why values of a column are wrong, from its kind alone."""
    column = with_default_column(study.data).columns.get(name)
    if isinstance(column, CategoryColumn):
        return "an unknown category"
    if isinstance(column, NumberColumn):
        return "not a number"
    if column is not None:
        return "not readable"
    return "no label of the study" if name == study.task.target else "missing"


def _notes(found: RowReport) -> list[Note]:
    if found.is_usable:
        return [Note("The study can use these rows.", "good")]
    return [Note("The study cannot use these rows; `fedpeft site check` says which to correct.", "bad")]
