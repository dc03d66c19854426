from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from client.data import Rows
from client.data.table import Table, build
from common.data_schema import DataSection
from common.errors import DataError
from common.study import TaskSection

TASK = TaskSection(target="ill", labels=("0", "1"))
SECTION = DataSection.model_validate(
    {
        "patient_id": "id",
        "template": "{sex} {age}. {note}",
        "columns": {
            "age": {"type": "number", "cut_points": [60], "words": ["young", "old"], "phrase": "{value}"},
            "sex": {"type": "category", "mapping": {"1": "man", "0": "woman"}, "phrase": "{value}"},
            "note": "text",
        },
    }
)
CSV = 'id,hospital,age,sex,note,ill\n7,north,63,1,"pain, at rest",1\n8,south,?,0.0,,0\n7,north,59.5,1.0,well,1.0\n'


def read(path: Path, content: str | bytes, *, section: DataSection = SECTION, task: TaskSection = TASK) -> Rows:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Table().read(path, section=section, task=task)


def test_rows_are_typed_and_rendered(tmp_path: Path) -> None:
    rows = read(tmp_path / "rows.csv", CSV)
    assert rows.inputs == ["man old. pain, at rest", "woman .", "man young. well"]
    assert rows.labels.tolist() == [1, 0, 1]
    assert rows.labels.dtype == np.int64
    assert rows.patients == ["7", "8", "7"]
    assert rows.features == {"age": [63.0, None, 59.5], "sex": ["man", "woman", "man"]}
    assert rows.columns == {"hospital": ["north", "south", "north"]}
    assert build is Table


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "parquet with index"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    expected = read(tmp_path / "expected.csv", CSV)
    frame = pd.DataFrame(
        {
            "id": [7, 8, 7],
            "hospital": ["north", "south", "north"],
            "age": [63.0, None, 59.5],
            "sex": [1, 0, 1],
            "note": ["pain, at rest", None, "well"],
            "ill": [True, False, True],
        }
    ).astype({"ill": int})
    path = tmp_path / f"rows.{kind.split()[0]}"
    if kind == "parquet with index":
        frame.set_index("id").to_parquet(path)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if kind == "tsv" else ",", index=False)
    rows = Table().read(path, section=SECTION, task=TASK)
    assert rows.inputs == expected.inputs
    assert rows.features == expected.features
    assert rows.columns == expected.columns
    assert rows.patients == expected.patients
    assert rows.labels.tolist() == expected.labels.tolist()


def test_a_labelled_text_needs_no_schema(tmp_path: Path) -> None:
    task = TaskSection(labels=("no", "yes"))
    rows = read(
        tmp_path / "rows.csv", "\ufefftext,label\nNA is a word here,yes\n,no\n", section=DataSection(), task=task
    )
    assert rows.inputs == ["NA is a word here", ""]
    assert rows.labels.tolist() == [1, 0]
    assert len(set(rows.patients)) == 2
    assert rows.features == {}


PLAIN = ["cough,no", "fever,yes", "cough,no", "cough,yes", "well,no"]


def plain_patients(path: Path, lines: list[str], header: str = "text,label") -> dict[str, list[str]]:
    """The patients of rows without an id, by their line: of equal lines in the file's order."""
    rows = read(path, "\n".join([header, *lines, ""]), section=DataSection(), task=TaskSection(labels=("no", "yes")))
    found: dict[str, list[str]] = {}
    for line, patient in zip(lines, rows.patients, strict=True):
        found.setdefault(line, []).append(patient)
    return found


def test_without_an_id_every_row_is_a_patient_of_its_own(tmp_path: Path) -> None:
    found = plain_patients(tmp_path / "rows.csv", PLAIN)
    assert len({patient for patients in found.values() for patient in patients}) == len(PLAIN)


@pytest.mark.parametrize("place", range(len(PLAIN) + 1))
@pytest.mark.parametrize("line", ["new,yes", "cough,no"])
def test_a_row_that_is_put_in_moves_no_other(tmp_path: Path, place: int, line: str) -> None:
    before = plain_patients(tmp_path / "before.csv", PLAIN)
    after = plain_patients(tmp_path / "after.csv", [*PLAIN[:place], line, *PLAIN[place:]])
    assert {other: patients for other, patients in after.items() if other != line} == {
        other: patients for other, patients in before.items() if other != line
    }
    assert set(before.get(line, [])) < set(after[line])


def test_a_column_that_nobody_reads_tells_no_rows_apart(tmp_path: Path) -> None:
    more = [f"{line},{number}" for number, line in enumerate(PLAIN)]
    rows = plain_patients(tmp_path / "rows.csv", more, header="text,label,visit")
    assert sorted(p for patients in rows.values() for p in patients) == sorted(
        p for patients in plain_patients(tmp_path / "plain.csv", PLAIN).values() for p in patients
    )


def test_inputs_need_neither_labels_nor_patients(tmp_path: Path) -> None:
    rows = read(tmp_path / "rows.csv", CSV)
    path = tmp_path / "new.csv"
    pd.read_csv(tmp_path / "rows.csv", dtype=str).drop(columns=["id", "ill"]).to_csv(path, index=False)
    inputs = Table().read_inputs(path, section=SECTION)
    assert inputs.inputs == rows.inputs
    assert inputs.features == rows.features


SECRET = "Jane Doe of 12 Elm Street, complains of everything"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CSV.replace("sex", "gender", 1), "no column 'sex'; it has: id, hospital, age, gender, note, ill"),
        (CSV.replace("ill", "sick", 1), "no column 'ill'"),
        (CSV.replace("id,", "nr,", 1), "no column 'id'"),
        (CSV.replace(",", ";"), "separated by commas"),
        (CSV.replace("well,1.0", "well,2"), "target 'ill', row 3: found '2', task.labels are 0, 1"),
        (CSV.replace("well,1.0", "well,"), "row 3: found no label"),
        (CSV.replace("well,1.0", f'well,"{SECRET}"'), "row 3: found a text of 50 characters"),
        (CSV.replace("0.0", "5"), "column 'sex', row 2: '5'"),
        (CSV.replace("?", f'"{SECRET}"'), "column 'age', row 2: a value that is not a number"),
        (CSV.replace("8,", ",", 1), "patient_id 'id', row 2: no id"),
        (CSV.replace("hospital", "age", 1), "two columns named 'age'"),
        (CSV + f'9,"{SECRET}",1,2,3,4,5,6\n', "line 5: 8 fields where the header has 6"),
        (CSV + f'9,"{SECRET}', "cannot be read as a table"),
        (CSV.splitlines()[0], "no rows"),
        ("", "is empty"),
        (f"{SECRET.replace(',', '')},1\nb,2\n", "no column 'age'; it has: a text of 49 characters, 1"),
        (CSV.encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_bad_file_is_one_clear_line_without_patient_text(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path / "rows.csv", content)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert "Jane" not in text
    assert str(tmp_path) not in text


def test_a_default_text_column_that_is_absent_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'text'; it has: note, ill; data.columns says"):
        read(tmp_path / "rows.csv", "note,ill\nx,1\n", section=DataSection())


def test_the_target_is_not_an_input(tmp_path: Path) -> None:
    section = DataSection.model_validate({"columns": {"ill": "category"}})
    with pytest.raises(DataError, match="read the answer"):
        read(tmp_path / "rows.csv", CSV, section=section)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.parquet", b"PAR1 but not really", "not a readable Parquet file"),
        ("rows.xlsx", b"PK", "of a kind not known"),
        ("absent.csv", None, "does not exist"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        Table().read(path, section=SECTION, task=TASK)


def test_a_word_that_pandas_takes_for_missing_is_a_word(tmp_path: Path) -> None:
    section = DataSection.model_validate({"columns": {"country": {"type": "category", "phrase": "{value}"}}})
    rows = read(tmp_path / "rows.csv", "country,ill\nNA,1\nnull,0\nNaN,0\n", section=section)
    assert rows.features == {"country": ["NA", "null", None]}
