import json
import shutil
from pathlib import Path

import pytest

from common.errors import UserError
from common.locking import at_work
from server.dashboard.folders import Source, results_of, source_of, standing, without_rounds
from server.dashboard.reading import Last
from server.run_folder import RunFolder, RunState


def test_a_run_a_folder_of_runs_and_runs_over_seeds_are_found(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "one")
    shutil.copytree(run_folder, tmp_path / "many" / "seed-0")
    (tmp_path / "other").mkdir()
    assert list(Source(tmp_path, "simulated").runs()) == ["many~seed-0", "one"]
    assert list(Source(tmp_path / "one", "simulated").runs()) == ["one"]
    assert list(Source(tmp_path / "nothing", "simulated").runs()) == []


def test_a_coordinators_runs_are_those_that_were_submitted(tmp_path: Path) -> None:
    (tmp_path / "server.toml").touch()
    for name in ("first", ".being-made"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    RunFolder(tmp_path / "runs" / "first").note(RunState("stopped", "7", "too few sites"))
    source = source_of(tmp_path)
    assert (source.kind, list(source.runs())) == ("coordinator", ["first"])
    where = standing(source, source.runs()["first"], Last())
    assert (where.word, where.reason, where.is_over) == ("stopped", "too few sites", True)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        source_of(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("event", "word"),
    [("", "preparing"), ("reply", "running"), ("run_stopped", "stopped"), ("run_finished", "comparing")],
)
def test_where_a_simulated_run_is(tmp_path: Path, event: str, word: str) -> None:
    assert standing(Source(tmp_path, "simulated"), RunFolder(tmp_path), Last(event)).word == word


@pytest.mark.parametrize(("event", "word"), [("reply", "running"), ("run_finished", "comparing")])
def test_a_run_whose_process_was_killed_is_not_running(tmp_path: Path, event: str, word: str) -> None:
    source, run = Source(tmp_path, "simulated"), RunFolder(tmp_path)
    (tmp_path / "run.json").touch()
    with at_work(tmp_path / "run.json"):
        assert standing(source, run, Last(event)).word == word
    found = standing(source, run, Last(event))
    assert (found.word, found.is_over) == ("stopped", True)
    assert "--resume" in str(found.reason)
    assert standing(source, run, Last("")).word == "preparing"


def test_results_make_a_run_finished(run_folder: Path) -> None:
    assert standing(Source(run_folder, "simulated"), RunFolder(run_folder), Last("run_finished")).word == "finished"


@pytest.mark.parametrize("indent", [2, None])
def test_results_are_read_without_their_rounds_only(run_folder: Path, tmp_path: Path, indent: int | None) -> None:
    whole = json.loads((run_folder / "results.json").read_bytes())
    (tmp_path / "results.json").write_text(json.dumps(whole, indent=indent), encoding="utf-8")
    found = results_of(RunFolder(tmp_path))
    assert {**found, "rounds": []} == {**whole, "rounds": []}


def test_rounds_are_cut_out_and_nothing_else() -> None:
    content = json.dumps({"a": {"rounds": [1, [2]]}, "rounds": [{"x": [1]}, {"y": []}], "z": [3]}, indent=2).encode()
    assert json.loads(without_rounds(content)) == {"a": {"rounds": [1, [2]]}, "rounds": [], "z": [3]}


def test_damaged_results_are_none(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{\n  "rounds": [\n', encoding="utf-8")
    assert results_of(RunFolder(tmp_path)) == {}
