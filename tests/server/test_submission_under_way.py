"""Runs handed to the SuperLink, ended and asked after, with Flower's command faked."""

import json
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from common.errors import CheckpointError, UserError
from server.coordinator.flower_command import FlowerTimeoutError, UnknownRunError
from server.run_folder import RunFolder, RunState
from server.submission import cancel, refreshed_state, states, submit, submit_new


class FakeFlower:
    """Answers as `flwr ... --format json` does; `statuses` are those of the runs that it lists."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.statuses: dict[str, str] = {}

    def __call__(self, *words: str) -> Any:
        self.calls.append(words)
        if words[0] == "run":
            number = str(len(self.statuses) + 1)
            self.statuses[number] = "running"
            return {"success": True, "run-id": number}
        wanted = words[1] if words[0] == "stop" else words[-1]
        if wanted not in self.statuses:
            raise UnknownRunError(f"flwr {words[0]} local: [code: 16] Run ID not found.")
        if words[0] == "stop":
            self.statuses[words[1]] = "finished:stopped"
            return {"success": True}
        return {"success": True, "runs": [{"run-id": wanted, "status": self.statuses[wanted]}]}


def down(*words: str) -> Any:
    raise UserError("the SuperLink is down")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that is laid out, and was never submitted."""
    made = RunFolder(tmp_path / "coordinator" / "runs" / "first")
    made.app.mkdir(parents=True)
    return made


def test_what_flower_is_told_names_the_folder_and_no_secret(run: RunFolder) -> None:
    flower = FakeFlower()
    submit(run, flower)
    app, folder = run.app.resolve(), json.dumps(str(run.path.resolve()))
    assert flower.calls == [("run", str(app), "local", "-c", f"folder={folder}")]
    assert run.state() == RunState("submitted", "1")


def test_a_run_that_is_not_taken_leaves_nothing(run: RunFolder) -> None:
    with pytest.raises(UserError, match="is down"):
        submit_new(run, down)
    assert not run.path.exists()


@pytest.mark.parametrize(
    ("error", "shown", "words"),
    [
        (FlowerTimeoutError("flwr run was not done"), UserError, "'first' may begin all the same: .* cancel ends it"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_a_run_that_may_have_been_taken_stays_and_can_be_cancelled(
    error: BaseException, shown: type[BaseException], words: str, run: RunFolder
) -> None:
    flower = FakeFlower()

    def silent(*words: str) -> Any:
        raise error

    with pytest.raises(shown, match=words):
        submit_new(run, silent)
    assert run.state() == RunState("submitted", "")
    cancel(run, flower)
    with pytest.raises(shown, match=words):
        submit(run, silent)
    assert run.state() == RunState("submitted", "")


def test_a_taken_run_whose_id_cannot_be_noted_stays(run: RunFolder) -> None:
    class FullDisk(RunFolder):
        def note(self, state: RunState) -> None:
            if state.flower:
                raise OSError(ENOSPC, "No space left on device")
            super().note(state)

    full = FullDisk(run.path)
    with pytest.raises(UserError, match="is submitted, but its id cannot be noted: No space left on device; make room"):
        submit_new(full, FakeFlower())
    assert run.state() == RunState("submitted", "")


def test_a_run_that_a_full_disk_does_not_take_leaves_nothing(run: RunFolder) -> None:
    class FullDisk(RunFolder):
        def note(self, state: RunState) -> None:
            raise OSError(ENOSPC, "No space left on device")

    full, flower = FullDisk(run.path), FakeFlower()
    with pytest.raises(UserError, match="cannot be noted: No space left on device; make room"):
        submit_new(full, flower)
    assert not run.path.exists()
    assert flower.calls == []


def test_a_run_under_way_is_not_submitted_again_and_an_ended_one_is(run: RunFolder) -> None:
    flower = FakeFlower()
    submit(run, flower)
    with pytest.raises(CheckpointError, match="under way"):
        submit(run, flower)
    cancel(run, flower)
    assert run.state().state == "cancelled"
    with pytest.raises(CheckpointError, match="has ended already"):
        cancel(run, flower)
    submit(run, flower)
    assert run.state() == RunState("submitted", "2")
    run.results.write_text("{}")
    run.note(RunState("finished", "2"))
    with pytest.raises(CheckpointError, match="is complete"):
        submit(run, flower)


def test_a_server_process_that_was_killed_is_noted_as_failed(run: RunFolder) -> None:
    flower = FakeFlower()
    submit(run, flower)
    run.note(RunState("running", "1"))
    assert refreshed_state(run, flower).state == "running"
    flower.statuses["1"] = "finished:failed"
    found = refreshed_state(run, flower)
    assert found.state == "failed"
    assert "resume" in (found.reason or "")
    assert run.state() == found


def test_a_run_that_ended_in_good_order_is_left_as_it_said(run: RunFolder) -> None:
    flower = FakeFlower()
    submit(run, flower)
    run.note(RunState("stopped", "1", "too few sites"))
    flower.statuses["1"] = "finished:failed"
    assert refreshed_state(run, flower) == RunState("stopped", "1", "too few sites")


def test_a_run_that_the_superlink_forgot_has_failed_and_can_be_resumed(run: RunFolder) -> None:
    flower = FakeFlower()
    submit(run, flower)
    run.note(RunState("running", "1"))
    forgetful = FakeFlower()
    with pytest.raises(CheckpointError, match="has ended already: failed"):
        cancel(run, forgetful)
    assert "state was lost; go on with: fedpeft server resume" in (run.state().reason or "")
    submit(run, forgetful)
    assert run.state() == RunState("submitted", "1")


def test_a_superlink_that_does_not_answer_has_not_forgotten(run: RunFolder) -> None:
    submit(run, FakeFlower())

    with pytest.raises(UserError, match="is down"):
        refreshed_state(run, down)
    assert run.state() == RunState("submitted", "1")


def test_a_process_that_begins_before_the_id_is_known_finds_its_run(run: RunFolder) -> None:
    flower = FakeFlower()

    def quick(*words: str) -> Any:
        assert run.state() == RunState("submitted", "")
        assert refreshed_state(run, flower) == run.state()
        run.note(RunState("running", "7"))
        return flower(*words)

    submit(run, quick)
    assert run.state() == RunState("running", "7")  # the process's own word on its id counts


def test_a_run_that_is_not_taken_again_is_left_as_it_ended(run: RunFolder) -> None:
    with pytest.raises(UserError, match="is down"):
        submit(run, down)
    assert not run.state_file.exists()
    run.note(RunState("stopped", "1", "too few sites"))
    with pytest.raises(UserError, match="is down"):
        submit(run, down)
    assert run.state() == RunState("stopped", "1", "too few sites")


def test_a_run_whose_id_is_not_known_is_cancelled_without_the_superlink(run: RunFolder) -> None:
    flower = FakeFlower()
    run.note(RunState("submitted", ""))
    cancel(run, flower)
    assert (run.state().state, flower.calls) == ("cancelled", [])
    submit(run, flower)
    assert run.state() == RunState("submitted", "1")


def test_a_run_that_begins_while_it_is_cancelled_goes_on(run: RunFolder) -> None:
    class Begins(RunFolder):
        def change(self, step: Callable[[RunState], RunState]) -> RunState:
            self.note(RunState("running", "1"))
            return super().change(step)

    run.note(RunState("submitted", ""))
    with pytest.raises(CheckpointError, match="has just begun; cancel it again"):
        cancel(Begins(run.path), FakeFlower())
    assert run.state() == RunState("running", "1")


def test_a_run_that_is_resumed_while_it_is_asked_after_has_not_failed(run: RunFolder) -> None:
    flower = FakeFlower()
    submit(run, flower)

    def slow(*words: str) -> Any:
        run.note(RunState("submitted", "2"))
        return flower(*words)

    flower.statuses["1"] = "finished:failed"
    assert refreshed_state(run, slow) == RunState("submitted", "2")


def test_a_run_that_finishes_while_it_is_cancelled_is_finished(run: RunFolder) -> None:
    flower = FakeFlower()
    submit(run, flower)

    def late(*words: str) -> Any:
        if words[0] == "stop":
            run.note(RunState("finished", "1"))
        return flower(*words)

    with pytest.raises(CheckpointError, match="has ended already: finished"):
        cancel(run, late)
    assert run.state() == RunState("finished", "1")


def test_the_list_of_runs_says_what_the_superlink_knows_and_asks_only_of_those_under_way(run: RunFolder) -> None:
    flower, ended = FakeFlower(), RunFolder(run.path.with_name("ended"))
    ended.path.mkdir()
    ended.note(RunState("stopped", "9", "too few sites"))
    submit(run, flower)
    flower.statuses["1"], flower.calls = "finished:failed", []
    noted = {"first": RunState("submitted", "1"), "ended": ended.state()}
    assert states([run, ended], None) == noted
    assert states([run, ended], down) == noted
    found = states([run, ended], flower)
    assert {name: state.state for name, state in found.items()} == {"first": "failed", "ended": "stopped"}
    assert flower.calls == [("list", "local", "--run-id", "1")]
