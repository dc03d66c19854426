"""Runs over real sites before they run: what is checked, laid out and handed to Flower, with Flower's command faked."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import keys
from common.bundle import BaseModelFacts, read_bundle, write_bundle
from common.endorsement import endorse, read_endorsement
from common.errors import CheckpointError, UserError
from common.state import AdapterSchema
from common.study import Study
from server.coordinator.flower_command import UnknownRunError
from server.coordinator.folder import CoordinatorFolder
from server.run_folder import RunFolder, RunState
from server.submission import cancel, new_run, refreshed_state, submit, submit_new

SITES = ("north", "south")
STATE = {"head.weight": np.ones((2, 3), np.float32)}


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


@pytest.fixture
def coordinator(tmp_path: Path) -> CoordinatorFolder:
    folder = CoordinatorFolder(tmp_path / "coordinator")
    keys.make_signing_key(folder.signing_key)
    return folder


def bundle(folder: Path, sites: tuple[str, ...] = SITES) -> Path:
    study = {"name": "s", "base_model": {"source": "dir:m"}, "task": {"labels": ["no", "yes"]}}
    write_bundle(
        folder,
        study=Study.model_validate({**study, "federation": {"sites": sites}}),
        schema=AdapterSchema.of(STATE),
        initial=STATE,
        base_model=BaseModelFacts({}, parameters=10, size_bytes=40),
        adapter_config=None,
        peft_names=None,
    )
    return folder


def made(coordinator: CoordinatorFolder, folder: Path, name: str | None = "first") -> RunFolder:
    return new_run(coordinator, folder, enrolled={*SITES, "west"}, name=name)


def test_a_run_holds_a_signed_copy_of_the_bundle_and_an_app_without_code(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    run = made(coordinator, bundle(tmp_path / "b"))
    shutil.rmtree(tmp_path / "b")
    found = read_bundle(run.bundle)
    own = keys.public_text(keys.read_signing_key(coordinator.signing_key))
    assert read_endorsement(run.bundle, found).coordinator == own
    assert {path.suffix for path in run.app.rglob("*") if path.is_file()} <= {".toml", ""}


def test_a_bundle_signed_by_another_coordinator_is_not_ours_to_run(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    folder = bundle(tmp_path / "b")
    endorse(folder, read_bundle(folder), keys.make_signing_key(tmp_path / "other.key"))
    with pytest.raises(UserError, match="signed by another coordinator"):
        made(coordinator, folder)
    assert not coordinator.runs.exists()


def test_a_bundle_changed_after_it_was_signed_is_refused(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    endorse(folder, read_bundle(folder), keys.read_signing_key(coordinator.signing_key))
    signed = (folder / "endorsement.json").read_bytes()
    shutil.rmtree(folder)
    bundle(folder, ("north", "west"))
    (folder / "endorsement.json").write_bytes(signed)
    with pytest.raises(UserError, match="its signature is of"):
        made(coordinator, folder)


def test_sites_that_are_not_enrolled_are_named(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"names east, not enrolled here; enrolled are: north, south, west"):
        made(coordinator, bundle(tmp_path / "b", ("north", "east")))
    with pytest.raises(UserError, match="names no sites"):
        made(coordinator, bundle(tmp_path / "c", ()))
    assert not coordinator.runs.exists()


@pytest.mark.parametrize("name", ["a/b", "..", "-x", "x" * 64])
def test_a_name_that_is_no_folder_is_refused(name: str, coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--name"):
        made(coordinator, bundle(tmp_path / "b"), name)


def test_a_name_is_given_once(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    made(coordinator, folder)
    with pytest.raises(CheckpointError, match="resume"):
        made(coordinator, folder)
    assert made(coordinator, folder, None).name != made(coordinator, folder, None).name


def test_what_flower_is_told_names_the_folder_and_no_secret(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    run, flower = made(coordinator, bundle(tmp_path / "b")), FakeFlower()
    submit(run, flower)
    app, folder = run.app.resolve(), json.dumps(str(run.path.resolve()))
    assert flower.calls == [("run", str(app), "local", "-c", f"folder={folder}")]
    assert run.state() == RunState("submitted", "1")


def test_a_run_that_is_not_taken_leaves_nothing(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    run = made(coordinator, bundle(tmp_path / "b"))

    def down(*words: str) -> Any:
        raise UserError("the SuperLink is down")

    with pytest.raises(UserError, match="is down"):
        submit_new(run, down)
    assert not run.path.exists()
    submit_new(made(coordinator, tmp_path / "b"), FakeFlower())


def test_a_run_under_way_is_not_submitted_again_and_an_ended_one_is(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    run, flower = made(coordinator, bundle(tmp_path / "b")), FakeFlower()
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


def test_a_server_process_that_was_killed_is_noted_as_failed(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    run, flower = made(coordinator, bundle(tmp_path / "b")), FakeFlower()
    submit(run, flower)
    run.note(RunState("running", "1"))
    assert refreshed_state(run, flower).state == "running"
    flower.statuses["1"] = "finished:failed"
    found = refreshed_state(run, flower)
    assert found.state == "failed"
    assert "resume" in (found.reason or "")
    assert run.state() == found


def test_a_run_that_ended_in_good_order_is_left_as_it_said(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    run, flower = made(coordinator, bundle(tmp_path / "b")), FakeFlower()
    submit(run, flower)
    run.note(RunState("stopped", "1", "too few sites"))
    flower.statuses["1"] = "finished:failed"
    assert refreshed_state(run, flower) == RunState("stopped", "1", "too few sites")


def test_a_run_that_the_superlink_forgot_has_failed_and_can_be_resumed(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    run, flower = made(coordinator, bundle(tmp_path / "b")), FakeFlower()
    submit(run, flower)
    run.note(RunState("running", "1"))
    forgetful = FakeFlower()
    with pytest.raises(CheckpointError, match="has ended already: failed"):
        cancel(run, forgetful)
    assert "state was lost; go on with: fedpeft server resume" in (run.state().reason or "")
    submit(run, forgetful)
    assert run.state() == RunState("submitted", "1")


def test_a_superlink_that_does_not_answer_has_not_forgotten(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    run = made(coordinator, bundle(tmp_path / "b"))
    submit(run, FakeFlower())

    def down(*words: str) -> Any:
        raise UserError("the SuperLink is down")

    with pytest.raises(UserError, match="is down"):
        refreshed_state(run, down)
    assert run.state() == RunState("submitted", "1")


def test_a_process_that_begins_before_the_id_is_known_finds_its_run(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    run, flower = made(coordinator, bundle(tmp_path / "b")), FakeFlower()

    def quick(*words: str) -> Any:
        assert run.state() == RunState("submitted", "")
        assert refreshed_state(run, flower) == run.state()
        run.note(RunState("running", "1"))
        return flower(*words)

    submit(run, quick)
    assert run.state() == RunState("running", "1")


def test_a_run_that_is_not_taken_again_is_left_as_it_ended(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    run = made(coordinator, bundle(tmp_path / "b"))

    def down(*words: str) -> Any:
        raise UserError("the SuperLink is down")

    with pytest.raises(UserError, match="is down"):
        submit(run, down)
    assert not run.state_file.exists()
    run.note(RunState("stopped", "1", "too few sites"))
    with pytest.raises(UserError, match="is down"):
        submit(run, down)
    assert run.state() == RunState("stopped", "1", "too few sites")


def test_a_run_whose_id_is_not_known_is_cancelled_without_the_superlink(
    coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    run, flower = made(coordinator, bundle(tmp_path / "b")), FakeFlower()
    run.note(RunState("submitted", ""))
    cancel(run, flower)
    assert (run.state().state, flower.calls) == ("cancelled", [])
    submit(run, flower)
    assert run.state() == RunState("submitted", "1")


def test_a_run_that_finishes_while_it_is_cancelled_is_finished(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    run, flower = made(coordinator, bundle(tmp_path / "b")), FakeFlower()
    submit(run, flower)

    def late(*words: str) -> Any:
        if words[0] == "stop":
            run.note(RunState("finished", "1"))
        return flower(*words)

    with pytest.raises(CheckpointError, match="has ended already: finished"):
        cancel(run, late)
    assert run.state() == RunState("finished", "1")
