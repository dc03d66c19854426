import csv
import io
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data import Rows
from client.data.table import Table
from common.errors import DataError
from common.study import Study
from common.study_file import check_study
from common.study_template import guess, write_study
from simulations.sites import divide

HEADER = ["id", "hospital", "age", "sex", "note", "surname", "empty", "outcome"]
ROWS = [
    [
        str(i // 2),
        "north" if i % 3 else "south",
        str(40 + i) if i % 5 else "",
        str(i % 2),
        f"patient number {i} complains of pain in the chest, since {i} days",
        f"name{i}",
        "",
        "yes" if i % 4 else "no",
    ]
    for i in range(24)
]


def as_csv(header: list[str], rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


def read(folder: Path, text: str, content: str) -> tuple[Study, Rows]:
    study = Study.model_validate(tomllib.loads(text))
    (folder / "rows.csv").write_text(content, encoding="utf-8")
    return study, Table().read(folder / "rows.csv", section=study.data, task=study.task)


def test_the_study_parses_reads_its_rows_and_divides_them(tmp_path: Path) -> None:
    text = write_study(HEADER, ROWS, target="outcome", site_column="hospital", patient_id="id")
    study, rows = read(tmp_path, text, as_csv(HEADER, ROWS))
    assert {name: column.type for name, column in study.data.columns.items()} == {
        "age": "number",
        "sex": "category",
        "note": "text",
    }
    assert study.task.labels == ("no", "yes")
    assert rows.inputs[1] == "age 41 sex 1 patient number 1 complains of pain in the chest, since 1 days"
    assert study.simulation is not None
    assert list(divide(rows, study.simulation, seed=0)) == ["north", "south"]
    assert "surname is left out" in text
    assert 'sex = "category"  # "0", "1"' in text


def test_without_site_column_and_patient_id_rows_are_dealt_out(tmp_path: Path) -> None:
    text = write_study(["text", "label"], [["a long stay", "x"], ["b", "y"], ["b", "x"]], target="label",
                       site_column=None, patient_id=None)  # fmt: skip
    study, rows = read(tmp_path, text, "text,label\na long stay,x\nb,y\nb,x\n")
    assert study.simulation is not None
    assert sum(len(part) for part in divide(rows, study.simulation, seed=0).values()) == 3


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).map(str.strip)


@given(
    st.lists(NAMES.filter(lambda n: n and not {"{", "}"} & set(n)), min_size=2, max_size=5, unique=True),
    st.data(),
)
def test_any_names_and_values_give_toml_that_parses(header: list[str], data: st.DataObject) -> None:
    cell = st.text(st.characters(codec="utf-8"), max_size=6)
    rows = data.draw(st.lists(st.lists(cell, min_size=len(header), max_size=len(header)), max_size=8))
    rows += [["a1", *["b1"] * (len(header) - 1)], ["a2", *["b2"] * (len(header) - 1)], ["a1"]]
    text = write_study(header, rows, target=header[0], site_column=None, patient_id=None)
    study = Study.model_validate(tomllib.loads(text))
    assert study.task.target == header[0]
    assert set(study.data.columns) <= set(header[1:])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "3"], "number"),
        (["1", "2", "x"], "category"),
        (["1", "1.0", "2"], "category"),
        (["?", "", "nan"], None),
        (["x" * 41, "y"], "text"),
        ([f"name{i}" for i in range(11)], None),
        ([f"drug{i % 5}" for i in range(11)], "category"),
    ],
)
def test_guesses(values: list[str], kind: str | None) -> None:
    assert guess(values) == kind


@pytest.mark.parametrize(
    ("header", "rows", "target", "message"),
    [
        (["a", "b"], [["1", "2"]], "c", "no column 'c'; there are: a, b"),
        (["a", "b"], [["1", "2"], ["1", "3"]], "a", "1 label in these rows"),
        (["a", "b"], [[str(i), str(i)] for i in range(30)], "a", "30 values"),
        (["a", "b"], [["1", "2"], ["0", "2"]], "a", "no column is left as input"),
        (["a", "a"], [["1", "2"]], "a", "twice"),
        (["a", "{b}"], [["1", "2"]], "a", "braces"),
    ],
)
def test_a_mistake_is_named(header: list[str], rows: list[list[str]], target: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_study(header, rows, target=target, site_column=None, patient_id=None)


def test_one_column_has_one_role() -> None:
    with pytest.raises(DataError, match="two roles"):
        write_study(HEADER, ROWS, target="outcome", site_column="outcome", patient_id=None)


def test_a_column_of_image_files_makes_a_study_of_images() -> None:
    """Other columns are features; the template is the file's name alone."""
    header, rows = ["scan", *HEADER[1:]], [[f"scans/{i}.png", *row[1:]] for i, row in enumerate(ROWS)]
    text = write_study(header, rows, target="outcome", site_column="hospital", patient_id="surname")
    study = Study.model_validate(tomllib.loads(text))
    assert (study.data.kind, study.task.kind, study.data.template) == ("images", "image-classification", "{scan}")
    assert study.data.columns["scan"].type == "text"
    assert study.data.columns["age"].type == "number"
    assert study.base_model.source == "dir:/path/to/model"


@pytest.mark.parametrize("task", [None, "image-classification"])
def test_a_study_that_hides_patients_has_settings_that_suit_it(task: str | None, tmp_path: Path) -> None:
    header = [*HEADER, "scan"]
    rows = [[*row, f"{i}.png"] for i, row in enumerate(ROWS)] if task else ROWS
    given = {"target": "outcome", "site_column": "hospital", "patient_id": "id", "task": task}
    text = write_study(header if task else HEADER, rows, epsilon=3.0, **given)
    content = tomllib.loads(text)
    content["base_model"]["source"] = "generated:tiny-bert"
    study = check_study(content, where="it")
    assert study.privacy.mechanism == "patient-dp"
    assert study.privacy.options["epsilon"] == 3.0
    assert study.training.batch_size >= len(ROWS)
    assert (study.peft.method, study.aggregation.name) == (("lora", "ffa-lora") if task else ("prefix", "fedavg"))


def test_who_hides_patients_says_which_column_they_are_in() -> None:
    with pytest.raises(DataError, match="give --patient-id too"):
        write_study(HEADER, ROWS, target="outcome", site_column="hospital", patient_id=None, epsilon=3.0)
