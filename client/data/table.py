"""Data source `table`: one CSV, TSV or Parquet file per site, its columns typed and rendered by the study."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from client.data import Inputs, Rows
from client.table_files import RawTable, read_raw
from common.data_schema import DataSection, TextColumn, canonical
from common.errors import DataError
from common.files import digest_json
from common.labels import check_fit, read_labels
from common.rendering import is_missing, render, shown, values_of
from common.study import TaskSection
from common.study_task import task_of

DEFAULT_COLUMNS = {"images": "image"}
"""By `data.kind`; `text` for others."""


@dataclass(frozen=True)
class Table:
    """The source; it has no options."""

    def read(self, path: Path, *, section: DataSection, task: TaskSection) -> Rows:
        """Return the labelled rows of a file.

        Raises:
            DataError: the file, a column, a value or a label is not what the study says.
        """
        rows = read_table(path, section=section, task=task)
        with naming(path.name):
            check_fit(task_of(task), rows.inputs, rows.labels, target=task.target)
        return rows

    def read_inputs(self, path: Path, *, section: DataSection) -> Inputs:
        """Return the inputs of a file's rows, which need neither labels nor patient ids: for prediction."""
        return read_table_inputs(path, section=section)

    def wrong_inputs(self, path: Path, inputs: Sequence[str]) -> Sequence[str | None]:  # noqa: ARG002 # the seam's
        """Return None for each row: every text can be read."""
        return [None] * len(inputs)

    def files_beside(self, path: Path, inputs: Sequence[str]) -> Mapping[str, Path]:  # noqa: ARG002 # the seam's
        """Return none: inputs are texts."""
        return {}


def read_table(path: Path, *, section: DataSection, task: TaskSection) -> Rows:
    """Return the labelled rows of a file; their inputs are the rendered template. Raises DataError."""
    raw = read_raw(path)
    inner = with_default_column(section)
    _check_columns(raw, _needed(inner, task), file=path.name)
    _check_no_answer(inner, task)
    used = {*inner.columns, task.target, inner.patient_id}
    with naming(path.name):
        inputs = inputs_of(raw, inner)
        return Rows(
            inputs=inputs.inputs,
            labels=read_labels(raw[task.target], task_of(task), target=task.target),
            patients=patients_of(raw, inner.patient_id, told_by=[*inner.columns, task.target]),
            features=inputs.features,
            columns={name: column for name, column in raw.items() if name not in used},
        )


def read_table_inputs(path: Path, *, section: DataSection) -> Inputs:
    """Return the rendered rows of a file, which need neither labels nor patient ids. Raises DataError."""
    raw = read_raw(path)
    inner = with_default_column(section)
    _check_columns(raw, inner.columns, file=path.name)
    with naming(path.name):
        return inputs_of(raw, inner)


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Say in which file it is what a DataError says of a column and row."""
    try:
        yield
    except DataError as error:
        raise DataError(f"data file {file!r}, {error}") from None


def with_default_column(section: DataSection) -> DataSection:
    """Return `section`, with the one column `text`, or of images `image`, where the study names none."""
    if section.columns:
        return section
    name = DEFAULT_COLUMNS.get(section.kind, "text")
    return section.model_copy(update={"template": f"{{{name}}}", "columns": {name: TextColumn(type="text")}})


def inputs_of(raw: RawTable, section: DataSection) -> Inputs:
    """Type the columns, then render each row."""
    values = {name: values_of(raw[name], column, name=name) for name, column in section.columns.items()}
    rows = zip(*values.values(), strict=True)
    texts = [render(section, dict(zip(values, row, strict=True))) for row in rows]
    typed = {name for name, column in section.columns.items() if not isinstance(column, TextColumn)}
    return Inputs(texts, {name: column for name, column in values.items() if name in typed})


def patients_of(raw: RawTable, patient_id: str | None, *, told_by: Sequence[str]) -> list[str]:
    """Return the patient id of each row; without such a column, each row is a patient of its own.

    Such a row is known by the digest of its cells in the columns `told_by` and by how many rows like it come before,
    not by its number: a row that is put in or taken out moves no other from training to test.
    """
    if patient_id is None:
        return _numbered([digest_json(cells) for cells in zip(*(raw[name] for name in told_by), strict=True)])
    missing = [row for row, text in enumerate(raw[patient_id], start=1) if is_missing(text)]
    if missing:
        raise DataError(f"patient_id {patient_id!r}, row {missing[0]}: no id; give every row one, or no patient_id")
    return [canonical(text) for text in raw[patient_id]]


def _numbered(names: Sequence[str]) -> list[str]:
    """Tell equal names apart by their order.

    >>> _numbered(["a", "b", "a"])
    ['a-1', 'b-1', 'a-2']
    """
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name}-{seen[name]}")
    return numbered


def _needed(section: DataSection, task: TaskSection) -> list[str]:
    return [*section.columns, task.target, *([section.patient_id] if section.patient_id else [])]


def _check_columns(raw: RawTable, needed: Iterable[str], *, file: str) -> None:
    for name in needed:
        if name in raw:
            continue
        hint = ""
        if name in ("text", *DEFAULT_COLUMNS.values()):
            hint = "; data.columns says which columns to read where they have other names"
        elif len(raw) == 1:
            hint = "; are the fields separated by commas (.csv) or tabs (.tsv)?"
        raise DataError(f"data file {file!r} has no column {name!r}; it has: {_listed(raw)}{hint}")


def _listed(names: Iterable[str]) -> str:
    """A file without a header has cells in place of names: long ones, which may be free text, are not shown."""
    return ", ".join(name if len(name) <= 40 else shown(name) for name in names)


def _check_no_answer(section: DataSection, task: TaskSection) -> None:
    if task.target in section.columns:
        raise DataError(
            f"data.columns has the target {task.target!r}: the model would read the answer; remove it there"
        )


build = Table
