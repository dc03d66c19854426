"""Whole students over the tiny model: what their folder holds, that it is what was measured, and what is refused."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel

from client.distilling.distil import distil
from client.distilling.outcome import Distilled
from client.distilling.pair import Settings
from client.prediction import predict
from client.rows import read_rows
from client.site_rows import split_of
from common.adapter_folder import read_adapter
from common.adapter_reference import adapter_folder, base_folder
from common.errors import BundleError, ModelError, UserError

SETTINGS = Settings(epochs=2, learning_rate=0.005)


def silent(*_: object) -> None:
    """Hear of an epoch and say nothing."""


def taught(lesson, out: Path, settings: Settings = SETTINGS, rows: Path | None = None) -> Distilled:  # type: ignore[no-untyped-def] # conftest's
    return distil(lesson.adapter, rows or lesson.rows, out, settings, base=lesson.base, told=silent)


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["quick", "quick-labels", "quick-scores"])
def test_a_student_predicts_what_was_measured(name: str, make_lesson, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    lesson, out = make_lesson(name), tmp_path / "student"
    found = taught(lesson, out)
    assert found.student.parameters <= 0.1 * found.teacher.parameters
    study = read_adapter(adapter_folder(out)).study
    predictions = predict(adapter_folder(out), lesson.rows, base_folder=base_folder(adapter_folder(out), None))
    rows = read_rows(lesson.rows, study)
    test = split_of(rows, study).test
    assert found.rows["test"] == len(test)
    if name == "quick-scores":
        errors = np.array(predictions.column("prediction"), dtype=float)[test] - rows.labels[test]
        assert found.student.metrics["mae"].value == pytest.approx(float(np.abs(errors).mean()), abs=1e-4)
    elif name == "quick":
        correct = [study.task.labels.index(str(p)) for p in predictions.column("prediction")] == rows.labels
        assert found.student.metrics["accuracy"].value == pytest.approx(float(correct[test].mean()))
    assert json.loads((out / "distill.json").read_text()) == json.loads(json.dumps(found.to_json()))


def test_the_folder_is_a_model_that_transformers_loads(lesson, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = taught(lesson, tmp_path / "student", replace(SETTINGS, parameters=0.6))
    model = AutoModel.from_pretrained(tmp_path / "student", add_pooling_layer=False)
    with (tmp_path / "student" / "task.json").open() as file:
        labels = json.load(file)["labels"]
    head = (model.config.hidden_size + 1) * len(labels)
    assert sum(p.numel() for p in model.parameters()) + head == found.student.parameters
    assert model.config.hidden_size == 32  # at this size it begins with the teacher's own layers
    assert (tmp_path / "student").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_the_same_seed_gives_the_same_bytes_and_test_rows_have_no_say(lesson, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The second time, the labels of all test patients are turned round: the same student, measured otherwise."""
    study = read_adapter(lesson.adapter).study
    rows = read_rows(lesson.rows, study)
    test = set(split_of(rows, study).test.tolist())
    with lesson.rows.open(newline="") as file:
        table = list(csv.DictReader(file))
    turned = {"yes": "no", "no": "yes"}
    for place, row in enumerate(table):
        row["outcome"] = turned[row["outcome"]] if place in test else row["outcome"]
    with (tmp_path / "turned.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    first = taught(lesson, tmp_path / "a")
    second = taught(lesson, tmp_path / "b", rows=tmp_path / "turned.csv")
    telling = {"README.md", "distill.json"}
    ours, theirs = files(tmp_path / "a"), files(tmp_path / "b")
    assert {n: c for n, c in ours.items() if n not in telling} == {n: c for n, c in theirs.items() if n not in telling}
    assert first.student.metrics["auroc"].value == pytest.approx(1 - (second.student.metrics["auroc"].value or 0.0))


def test_the_vocabulary_has_no_word_of_test_rows_alone(lesson, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with lesson.rows.open(newline="") as file:
        table = list(csv.DictReader(file))
    study = read_adapter(lesson.adapter).study
    test = split_of(read_rows(lesson.rows, study), study).test.tolist()
    table[test[0]]["note"] += " old"  # a word of the teacher's vocabulary
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    taught(lesson, tmp_path / "student", rows=tmp_path / "rows.csv")
    words = json.loads((tmp_path / "student" / "tokenizer.json").read_text())["model"]["vocab"]
    assert "old" not in words
    assert "[PAD]" in words


def test_what_does_not_go_leaves_nothing(make_lesson, lesson, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="no room for"):
        taught(lesson, tmp_path / "student", replace(SETTINGS, parameters=0.01))
    tokens = make_lesson("quick-tokens")
    with pytest.raises(UserError, match=r"does not go with task\.kind = 'token-classification'"):
        taught(tokens, tmp_path / "student")
    private = make_lesson("quick", "peft.private=['head.*']")
    with pytest.raises(BundleError, match="name the folder with a site's own with --private"):
        taught(private, tmp_path / "student")
    with pytest.raises(ModelError, match="the study expects sha256"):
        taught(replace(lesson, base=make_other_base(lesson.base, tmp_path)), tmp_path / "student")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def make_other_base(base: Path, tmp_path: Path) -> Path:
    (tmp_path / "other").mkdir()
    for path in base.iterdir():
        (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "other" / "config.json").write_text((base / "config.json").read_text() + " ")
    return tmp_path / "other"


def test_a_folder_that_is_there_is_left_alone(lesson, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "letter").touch()
    with pytest.raises(UserError, match="is there already"):
        taught(lesson, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter"]
