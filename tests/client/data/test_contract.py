"""What every data source promises; a new file in the folder is tested here without an edit.

`samples/NAME/` holds the four rows below in the source's own form, as a file or folder called `rows` or `rows.*`. Where
a model reads files and no text, `inputs.txt` beside them names the four, and `template.txt` renders these names.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data import Rows, Source
from client.data.table import read_table_inputs
from common.data_schema import DataSection
from common.errors import DataError
from common.plugins import available, build
from common.study import TaskSection

PACKAGE = "client.data"
NAMES = available(PACKAGE)
SAMPLES = Path(__file__).parent / "samples"
COLUMNS = {
    "age": {"type": "number", "cut_points": [60], "words": ["young", "old"], "phrase": "{value}"},
    "sex": {"type": "category", "mapping": {"1": "man", "0": "woman"}, "phrase": "{value}"},
    "note": "text",
}
SECTION = DataSection.model_validate({"patient_id": "patient", "template": "{sex} {age}. {note}", "columns": COLUMNS})
TASK = TaskSection(target="ill", labels=("no", "yes"))
EXPECTED = Rows(
    inputs=["man old. pain, at rest", "woman .", "man young. well", "woman young. Ödem"],
    labels=np.array([1, 0, 1, 0]),
    patients=["p1", "p2", "p1", "p3"],
    features={"age": [63.0, None, 59.5, 40.0], "sex": ["man", "woman", "man", "woman"]},
    columns={"hospital": ["north", "north", "south", "south"]},
)


def source_of(name: str) -> Source:
    source: Source = build(PACKAGE, name, {}, key="data.kind")
    return source


def sample(name: str) -> Path:
    (path,) = (SAMPLES / name).glob("rows*")
    return path


def section_of(name: str, section: DataSection = SECTION) -> DataSection:
    own = SAMPLES / name / "template.txt"
    changed = section.template == SECTION.template and own.exists()
    return section.model_copy(update={"kind": name, **({"template": own.read_text()} if changed else {})})


def inputs_of(name: str) -> list[str]:
    own = SAMPLES / name / "inputs.txt"
    files = own.read_text().splitlines() if own.exists() else []
    return [str(SAMPLES / name / file) for file in files] or list(EXPECTED.inputs)


def plain(rows: Rows) -> list[object]:
    features, columns = ({k: list(v) for k, v in table.items()} for table in (rows.features, rows.columns))
    return [list(rows.inputs), rows.labels.tolist(), list(rows.patients), features, columns]


def test_the_folder_has_its_sources() -> None:
    assert set(NAMES) == {"images", "table"}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_can_read_is_not_wrong(name: str) -> None:
    rendered = read_table_inputs(sample(name), section=section_of(name)).inputs
    assert source_of(name).wrong_inputs(sample(name), rendered) == [None] * 4


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_labelled_typed_and_rendered(name: str) -> None:
    rows = source_of(name).read(sample(name), section=section_of(name), task=TASK)
    assert plain(rows) == plain(replace(EXPECTED, inputs=inputs_of(name)))
    assert rows.labels.dtype == np.int64
    assert len(rows) == 4


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_those_of_the_rows_and_need_no_target_and_no_patient(name: str) -> None:
    section = section_of(name).model_copy(update={"patient_id": "absent"})
    inputs = source_of(name).read_inputs(sample(name), section=section)
    assert list(inputs.inputs) == inputs_of(name)
    assert {key: list(values) for key, values in inputs.features.items()} == EXPECTED.features


MISTAKES = {
    "a label outside the set": (SECTION, TaskSection(target="ill", labels=("no", "maybe"))),
    "no such target": (SECTION, TaskSection(target="dead", labels=("no", "yes"))),
    "no such patient id": (SECTION.model_copy(update={"patient_id": "absent"}), TASK),
    "no such column": (DataSection.model_validate({"template": "{weight}", "columns": {"weight": "text"}}), TASK),
    "a value outside the mapping": (
        DataSection.model_validate(
            {"template": "{sex}", "columns": {"sex": {**COLUMNS["sex"], "mapping": {"1": "m"}}}}
        ),
        TASK,
    ),
    "the target as an input": (DataSection.model_validate({"template": "{ill}", "columns": {"ill": "text"}}), TASK),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_without_folder_or_patient(name: str, mistake: str) -> None:
    section, task = MISTAKES[mistake]
    with pytest.raises(DataError) as caught:
        source_of(name).read(sample(name), section=section_of(name, section), task=task)
    text = str(caught.value)
    assert "\n" not in text
    assert "at rest" not in text
    assert str(SAMPLES) not in text
    assert sample(name).name in text or mistake == "the target as an input"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_there_is_named_without_its_folder(name: str, tmp_path: Path) -> None:
    absent = tmp_path / f"absent{sample(name).suffix}"
    for read in (
        lambda: source_of(name).read(absent, section=SECTION, task=TASK),
        lambda: source_of(name).read_inputs(absent, section=SECTION),
    ):
        with pytest.raises(DataError, match="absent") as caught:
            read()
        assert str(tmp_path) not in str(caught.value)


@given(st.lists(st.integers(0, 3), max_size=8))
def test_rows_taken_keep_each_row_together(index: list[int]) -> None:
    taken = EXPECTED.take(np.array(index, dtype=np.int64))
    assert len(taken) == len(index)
    for position, row in enumerate(index):
        assert plain(taken.take(np.array([position]))) == plain(EXPECTED.take(np.array([row])))
