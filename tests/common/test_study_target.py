import tomllib
from typing import Any, cast  # TOML holds any value

import pytest

from common.errors import DataError
from common.plugins import available
from common.study import Study
from common.study_target import KINDS
from common.study_task import task_of
from common.study_template import write_study

NOTES = ["took aspirin today", "no drugs at all", "took low dose ibuprofen", "well, no complaints"]
TARGETS = {
    "sequence-classification": ["no", "yes", "no", "yes"],
    "multi-label-classification": ["fever", "", "fever;rash", "cough"],
    "regression": ["120", "140.5", "150", "141"],
    "token-classification": ["O B-drug O", "O O O O", "O O O B-drug", "O O O"],
    "causal-lm": ["Take it again.", "Go on.", "Stop it.", "Nothing."],
}
HEADER = ["hospital", "age", "note", "target"]


def written(kind: str | None, targets: list[str], notes: list[str] = NOTES) -> dict[str, Any]:
    """Return the study for rows of these targets, as parsed; the pydantic model checks it on the way."""
    rows = [["north", str(50 + i), note, target] for i, (note, target) in enumerate(zip(notes, targets, strict=True))]
    text = write_study(HEADER, rows, target="target", site_column="hospital", patient_id=None, task=kind)
    found = tomllib.loads(text)
    Study.model_validate(found)
    return found


@pytest.mark.parametrize("kind", TARGETS)
def test_the_written_task_reads_every_target_that_it_was_guessed_from(kind: str) -> None:
    task = task_of(Study.model_validate(written(kind, TARGETS[kind])).task)
    assert all(task.read_label(target) is not None for target in TARGETS[kind])


def test_labels_of_several_are_parted_and_an_empty_cell_is_none_of_them() -> None:
    assert written("multi-label-classification", TARGETS["multi-label-classification"])["task"]["labels"] == [
        "cough",
        "fever",
        "rash",
    ]


def test_what_is_outside_is_the_first_tag_and_the_column_of_as_many_words_the_only_input() -> None:
    found = written("token-classification", TARGETS["token-classification"])
    assert found["task"]["labels"] == ["O", "B-drug"]
    assert found["data"]["template"] == "{note}"
    assert found["data"]["columns"]["note"] == "text", "a category's phrase would put its name before the words"


def test_numbers_are_described_by_their_median_and_spread() -> None:
    task = written("regression", ["120", "140.5", "150", "141"])["task"]
    # Median (140.5 + 141) / 2 = 140.75, to two digits 140; deviation from the mean 137.875:
    # sqrt((17.875^2 + 2.625^2 + 12.125^2 + 3.125^2) / 4) = sqrt(123.8) = 11.1, to one digit 10.
    assert (task["offset"], task["scale"]) == (140, 10)


def test_a_decoder_is_for_the_user_to_name() -> None:
    found = written("causal-lm", TARGETS["causal-lm"])
    assert found["base_model"]["source"].startswith("dir:")
    assert "targets" not in found["peft"], "layers of BERT have other names than a decoder's"


@pytest.mark.parametrize(
    ("kind", "targets", "message"),
    [
        (None, [f"{i}.5" for i in range(30)], "--task regression"),
        ("regression", ["1", "two", "3", "4"], "1 values that are no numbers"),
        ("regression", ["7", "7", "7", "7"], "at least 2"),
        ("token-classification", ["A B A", "A B A B", "A B A B", "A B A"], "has the tag 'O'"),
        ("token-classification", ["O A", "O B", "O A", "O B"], "no column has as many words"),
        ("image-classification", ["a", "b", "a", "b"], "names of image files"),
        ("regresion", ["1", "2", "3", "4"], "expected one of sequence-classification"),
    ],
)
def test_targets_that_are_none_of_the_task_are_named(kind: str | None, targets: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        written(kind, targets, (NOTES * 10)[: len(targets)])


def test_notes_of_several_words_that_differ_in_each_row_are_text_and_names_are_not() -> None:
    notes = [f"asks about day {i}" for i in range(12)]
    columns = cast("dict[str, Any]", written("causal-lm", ["a b"] * 12, notes)["data"]["columns"])
    assert columns == {"age": "number", "note": "text"}
    assert "note" not in written("causal-lm", ["a b"] * 12, [f"Jane Doe{i}" for i in range(12)])["data"]["columns"]


def test_every_kind_here_is_a_task() -> None:
    assert set(KINDS) <= set(available("common.tasks"))
