"""A run's folder: its state survives, two processes cannot play it at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import CheckpointError, UserError
from server.run_folder import RunFolder, RunState, all_runs, find_run


def noted(runs: Path, name: str, state: RunState) -> RunFolder:
    run = RunFolder(runs / name)
    run.path.mkdir(parents=True)
    run.note(state)
    return run


def test_a_state_is_read_back_and_the_last_one_counts(tmp_path: Path) -> None:
    run = noted(tmp_path, "a", RunState("submitted", "17"))
    assert run.state() == RunState("submitted", "17", None)
    run.note(RunState("stopped", "17", "too few sites"))
    assert find_run(tmp_path, "a").state() == RunState("stopped", "17", "too few sites")


def test_no_change_of_a_state_is_lost_to_another(tmp_path: Path) -> None:
    run = noted(tmp_path, "a", RunState("running", ""))

    def add(letter: str) -> RunState:
        return run.change(lambda state: replace(state, flower=state.flower + letter))

    with ThreadPoolExecutor(8) as pool:
        returned = list(pool.map(add, "abcdefgh" * 5))
    assert sorted(run.state().flower) == sorted("abcdefgh" * 5)
    assert sorted(len(state.flower) for state in returned) == list(range(1, 41))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "asleep", "flower": "1"}', '{"flower": "1"}'])
def test_a_damaged_state_is_said(tmp_path: Path, content: str) -> None:
    run = noted(tmp_path, "a", RunState("running", "1"))
    (run.path / "state.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"state\.json"):
        run.state()


@pytest.mark.parametrize("name", ["absent", "../a", "", "a/b", ".."])
def test_a_run_that_is_not_there_is_said_with_those_that_are(tmp_path: Path, name: str) -> None:
    noted(tmp_path / "runs", "a", RunState("finished", "1"))
    (tmp_path / "runs" / ".b.0123").mkdir()  # what a killed command was laying out
    with pytest.raises(UserError, match=r"there are: a$"):
        find_run(tmp_path / "runs", name)


def test_runs_are_listed_and_other_folders_are_not(tmp_path: Path) -> None:
    for name in ("b", "a"):
        noted(tmp_path, name, RunState("finished", "1"))
    (tmp_path / "notes").mkdir()
    assert {run.name for run in all_runs(tmp_path)} == {"a", "b"}


HOLD = "import sys; from pathlib import Path; from server.run_folder import RunFolder\n"
TRY = HOLD + "with RunFolder(Path(sys.argv[1])).alone(): print('held')"


def test_another_process_cannot_play_the_run_until_the_first_is_gone(tmp_path: Path) -> None:
    run = noted(tmp_path, "a", RunState("running", "1"))

    def attempt() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", TRY, run.path], capture_output=True, text=True, check=False)

    with run.alone():
        assert "being played by another process" in attempt().stderr
    assert attempt().stdout == "held\n"
