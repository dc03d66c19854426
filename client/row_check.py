"""All that is wrong with a site's rows for a study, counted by column; no text of a patient is in the result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any  # JSON

from client.data.table import inputs_of, patients_of, with_default_column
from client.rows import source_of
from client.split import split_patients
from client.table_files import RawTable, read_raw
from common.data_schema import CategoryColumn, Column, canonical, placeholders
from common.errors import DataError
from common.labels import misfit
from common.rendering import is_missing, values_of
from common.study import Study
from common.study_task import task_of

Counts = Mapping[str, int]


@dataclass(frozen=True)
class ColumnReport:
    """One column: rows without a value, rows with a value that the schema forbids, the first of them, and why.

    row: counts from 1, the header aside; None where no row is wrong.
    """

    name: str
    missing: int = 0
    wrong: int = 0
    row: int | None = None
    why: str = ""


@dataclass(frozen=True)
class RowReport:
    """A site's rows as a study sees them. labels: rows by label. parts: rows of training, validation and test.

    columns: only those of the study. absent: columns that the file lacks.
    """

    rows: int
    patients: int
    labels: Counts
    parts: Counts
    columns: tuple[ColumnReport, ...]
    absent: tuple[str, ...]

    @property
    def is_usable(self) -> bool:
        """Whether the study can be trained on these rows."""
        return not self.absent and not any(column.wrong for column in self.columns) and self.parts.get("train", 0) > 0

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {**asdict(self), "usable": self.is_usable}


def check_rows(path: Path, study: Study) -> RowReport:
    """Look at every cell that the study would read. Raises DataError where the file cannot be read at all."""
    raw = read_raw(path)
    needed = _needed(study)
    absent = tuple(name for name in needed if name not in raw)
    columns = tuple(_column(name, raw[name], study) for name in needed if name in raw)
    columns = _with_misfits(columns, path, raw, study)
    patients = _patients(raw, study)
    return RowReport(
        rows=len(next(iter(raw.values()))),
        patients=len(set(patients)),
        labels=_labels(raw, study),
        parts=_parts(patients, study),
        columns=columns,
        absent=absent,
    )


def lines_of(report: RowReport) -> Iterator[str]:
    """Yield the report for a person."""
    yield f"{report.rows} rows of {report.patients} patients"
    if report.labels:
        yield "labels: " + ", ".join(f"{label} {count}" for label, count in report.labels.items())
    yield "parts: " + ", ".join(f"{part} {count}" for part, count in report.parts.items())
    yield from (f"column {name!r}: not in the file" for name in report.absent)
    for column in report.columns:
        wrong = f", {column.wrong} wrong (row {column.row} the first): {column.why}" if column.wrong else ""
        yield f"column {column.name!r}: {column.missing} missing{wrong}"


def _needed(study: Study) -> list[str]:
    section = with_default_column(study.data)
    return [*section.columns, study.task.target, *([section.patient_id] if section.patient_id else [])]


def _column(name: str, cells: Sequence[str], study: Study) -> ColumnReport:
    columns = with_default_column(study.data).columns
    if name in columns:
        return _input(name, cells, columns[name])
    missing = [is_missing(cell) for cell in cells]
    if name == study.task.target:
        task = task_of(study.task)
        wrong = [task.read_label(cell) is None for cell in cells]
        return _report(name, missing, wrong, f"no label: {task.expected}")
    return _report(name, missing, missing, "a row without a patient")


def _input(name: str, cells: Sequence[str], column: Column) -> ColumnReport:
    missing = [is_missing(cell, column.missing) for cell in cells]
    wrong_texts = {cell for cell in set(cells) if not _fits(cell, column)}
    why = "not among the mapping's values" if isinstance(column, CategoryColumn) else "not a number"
    return _report(name, missing, [cell in wrong_texts for cell in cells], why)


def _fits(cell: str, column: Column) -> bool:
    try:
        values_of([cell], column, name="")
    except DataError:
        return False
    return True


def _with_misfits(
    columns: tuple[ColumnReport, ...], path: Path, raw: RawTable, study: Study
) -> tuple[ColumnReport, ...]:
    """Count inputs that cannot be read, and labels that do not fit their row's text, once every column can be read."""
    task, target = task_of(study.task), study.task.target
    if len(columns) < len(_needed(study)) or any(column.wrong for column in columns):
        return columns
    section = with_default_column(study.data)
    texts = inputs_of(raw, section).inputs
    found = {
        next(iter(placeholders(section.template or "")), ""): source_of(study).wrong_inputs(path, texts),
        target: [misfit(task, text, task.read_label(cell)) for text, cell in zip(texts, raw[target], strict=True)],
    }
    return tuple(_with(column, found.get(column.name, ())) for column in columns)


def _with(column: ColumnReport, wrong: Sequence[str | None]) -> ColumnReport:
    """Return the report with rows that are wrong for these reasons, of which the first is told."""
    rows = [row for row, why in enumerate(wrong, start=1) if why is not None]
    if not rows:
        return column
    return replace(column, wrong=len(rows), row=rows[0], why=wrong[rows[0] - 1] or "")


def _report(name: str, missing: Sequence[bool], wrong: Sequence[bool], why: str) -> ColumnReport:
    count = sum(wrong)
    if not count:
        return ColumnReport(name, missing=sum(missing))
    return ColumnReport(name, missing=sum(missing), wrong=count, row=list(wrong).index(True) + 1, why=why)


def _labels(raw: RawTable, study: Study) -> Counts:
    """Rows by label; what is no label is counted in its column's report only."""
    task = task_of(study.task)
    read = [task.read_label(cell) for cell in raw.get(study.task.target, ())]
    known = task.stack([label for label in read if label is not None])
    return {name: int(rows.sum()) for name, rows in task.groups(known).items()}


def _patients(raw: RawTable, study: Study) -> list[str]:
    """Return who each row is of; without a column of patients, rows are told apart as the trainer does."""
    if study.data.patient_id is not None:
        return [canonical(cell) for cell in raw.get(study.data.patient_id, ()) if not is_missing(cell)]
    told_by = [name for name in _needed(study) if name in raw]
    return patients_of(raw, None, told_by=told_by)


def _parts(patients: Sequence[str], study: Study) -> Counts:
    evaluation = study.evaluation
    parts = split_patients(
        patients,
        split_seed=evaluation.split_seed,
        validation_fraction=evaluation.validation_fraction,
        test_fraction=evaluation.test_fraction,
    )
    return {name: len(getattr(parts, name)) for name in ("train", "validation", "test")}
