"""Everything that is wrong with rows, by column; a study that may use them is one that its trainer could read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.row_check import check_rows, lines_of
from client.rows import read_rows
from client.split import split_patients
from common.errors import DataError
from common.study import Study

DATA = {
    "patient_id": "patient",
    "columns": {
        "age": {"type": "number", "missing": ["-9"]},
        "sex": {"type": "category", "mapping": {"0": "woman", "1": "man"}},
        "note": "text",
    },
}
STUDY = Study.model_validate(
    {
        "name": "s",
        "base_model": {"source": "dir:m"},
        "task": {"target": "ill", "labels": ["no", "yes"]},
        "data": DATA,
    }
)
HEADER = "patient,age,sex,note,ill"


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_everything_is_counted_not_just_the_first(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "p1,63,1,PATIENT-SECRET,no",
        "p1,-9,1.0,,yes",
        "p2,old,2,x,yes",
        ",young,3,x,maybe",
        "p3,NaN,,x,",
    )
    found = check_rows(path, STUDY)
    assert (found.rows, found.patients, found.labels) == (5, 3, {"no": 1, "yes": 2})
    counts = {column.name: (column.missing, column.wrong, column.row) for column in found.columns}
    assert counts == {
        "age": (2, 2, 3),
        "sex": (1, 2, 3),
        "note": (1, 0, None),
        "ill": (1, 2, 4),
        "patient": (1, 1, 4),
    }
    assert not found.is_usable
    text = "\n".join([*lines_of(found), json.dumps(found.to_json())])
    assert "SECRET" not in text
    assert "young" not in text
    assert "maybe" not in text


def test_a_column_that_is_not_there_is_said(tmp_path: Path) -> None:
    found = check_rows(written(tmp_path, "p1,63,no", header="patient,age,ill"), STUDY)
    assert found.absent == ("sex", "note")
    assert not found.is_usable
    assert any("'sex': not in the file" in line for line in lines_of(found))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        check_rows(tmp_path / "rows.csv", STUDY)


CELLS = {
    "patient": st.sampled_from(["a", "b", "1", "1.0", ""]),
    "age": st.sampled_from(["1", "2.5", "", "-9", "?", "old"]),
    "sex": st.sampled_from(["0", "1.0", "", "2"]),
    "note": st.sampled_from(["x", "", "1"]),
    "ill": st.sampled_from(["no", "yes", "", "other"]),
}
ROWS = st.lists(st.tuples(*CELLS.values()).map(",".join), min_size=1, max_size=6)


@given(ROWS, st.booleans())
def test_rows_are_usable_where_the_trainer_can_read_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str], with_patients: bool
) -> None:
    path = written(tmp_path_factory.getbasetemp(), *rows)
    data = STUDY.data if with_patients else STUDY.data.model_copy(update={"patient_id": None})
    study = STUDY.model_copy(update={"data": data})
    found = check_rows(path, study)
    wrong = any(column.wrong for column in found.columns)
    try:
        read = read_rows(path, study)
    except DataError:
        assert wrong
        assert not found.is_usable
        return
    assert not wrong
    evaluation = study.evaluation
    parts = split_patients(
        read.patients,
        split_seed=evaluation.split_seed,
        validation_fraction=evaluation.validation_fraction,
        test_fraction=evaluation.test_fraction,
    )
    assert (found.rows, found.patients) == (len(read), len(set(read.patients)))
    assert list(found.labels.values()) == [int((read.labels == i).sum()) for i in range(2)]
    assert found.parts == {"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)}
    assert found.is_usable == (len(parts.train) > 0)


def test_the_rows_of_a_site_are_usable(make_site: Callable[..., object]) -> None:
    site = make_site()
    found = check_rows(site.folder.path.parent / "rows.csv", site.bundle.study)  # type: ignore[attr-defined] # RealSite
    assert found.is_usable
    assert sum(found.labels.values()) == found.rows == sum(found.parts.values())


def test_a_template_without_any_column_is_checked_too(tmp_path: Path) -> None:
    study = STUDY.model_copy(update={"data": STUDY.data.model_copy(update={"template": "nothing"})})
    assert check_rows(written(tmp_path, "p1,63,1,x,no"), study).columns
