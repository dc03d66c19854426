"""A comparison from its grid to its files: nothing is played twice, and a researcher's own file takes part."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import StudyError
from simulations.compare.comparing import Comparison
from simulations.compare.rows import VARYING
from simulations.compare.trials import RESULT, RUNS

Played = tuple[Comparison, Path]


def runs_in(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in (out / RUNS).glob(f"*/{RESULT}")}


def fixed_columns(out: Path) -> list[dict[str, str]]:
    with (out / "compare.csv").open() as file:
        return [{key: value for key, value in line.items() if key not in VARYING} for line in csv.DictReader(file)]


def test_every_strategy_has_a_line_for_each_seed_and_one_that_is_in_one_file_is_among_them(played: Played) -> None:
    lines = fixed_columns(played[1])
    assert [(line["strategy"], line["seed"]) for line in lines] == [
        (name, seed) for name in ("fedavg", "half-way-of-tests", "every site alike") for seed in ("0", "1")
    ]
    assert {line["status"] for line in lines} == {"done"}
    by = {(line["strategy"], line["seed"]): float(line["test_log_loss"]) for line in lines}
    assert by["half-way-of-tests", "0"] != by["fedavg", "0"]


def test_tuning_runs_are_of_another_seed_and_only_where_there_is_a_choice(played: Played) -> None:
    """Two candidates of fedavg, and two seeds of each of three strategies."""
    found, out = played
    contents = [json.loads((out / RUNS / name / RESULT).read_text()) for name in runs_in(out)]
    tuning = [each for each in contents if each["purpose"] == "tuning"]
    assert len(contents) == 2 + 6
    assert {each["study"]["seed"] for each in tuning} == {100}
    assert {each["study"]["evaluation"]["split_seed"] for each in tuning} == {100}
    losses = {each["study"]["training"]["learning_rate"]: each["validation"]["pooled"]["log_loss"] for each in tuning}
    choice = found.summaries[0].runs.choice
    assert choice.losses == losses
    assert choice.rate == min(losses, key=losses.__getitem__)
    assert found.summaries[1].runs.choice.losses == {}


def test_what_is_finished_is_not_played_again_and_what_was_killed_is(
    played: Played, play: Callable[..., Comparison], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(played[1], out)
    names = runs_in(out)
    gone = sorted(names)[0]
    shutil.rmtree(out / RUNS / gone)
    (out / RUNS / ".part-of-a-killed-run").mkdir()
    told = []
    play(out, told=lambda trial, result, done, of: told.append(trial.folder_name))
    assert told == [gone]
    assert {name: at for name, at in runs_in(out).items() if name != gone} == {
        name: at for name, at in names.items() if name != gone
    }
    assert not list((out / RUNS).glob(".part-*"))
    assert fixed_columns(out) == fixed_columns(played[1])


@pytest.mark.slow
@pytest.mark.processes
def test_processes_give_the_same_as_one(played: Played, play: Callable[..., Comparison], tmp_path: Path) -> None:
    """In each of them the strategy of one's own is known."""
    play(tmp_path / "out", workers=2)
    assert fixed_columns(tmp_path / "out") == fixed_columns(played[1])


def test_a_strategy_whose_file_is_changed_is_played_again(played: Played, own_folder: Path, tmp_path: Path) -> None:
    file = own_folder / "half_way_of_tests.py"
    trial = played[0].summaries[1].runs.trials[0]
    text, before = file.read_text(), trial.digest
    del trial.__dict__["digest"]
    try:
        file.write_text(text + "\n# another\n")
        assert trial.digest != before
    finally:
        file.write_text(text)
        trial.__dict__.pop("digest", None)
    assert trial.digest == before


def test_a_folder_with_something_else_is_not_written_to(play: Callable[..., Comparison], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StudyError, match="holds no comparison"):
        play(tmp_path)
    with pytest.raises(StudyError, match="is a file"):
        play(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_json_has_every_statistic(played: Played) -> None:
    content = json.loads((played[1] / "compare.json").read_text())
    assert [cell["strategy"] for cell in content["cells"]] == ["fedavg", "half-way-of-tests", "every site alike"]
    assert content["cells"][0]["difference"] is None
    assert sum(content["cells"][1]["wins_ties_losses"]) == 2
    values = [run["test_auroc"] for run in content["runs"] if run["strategy"] == "fedavg"]
    assert content["cells"][0]["level"]["value"] == pytest.approx(sum(values) / 2)
