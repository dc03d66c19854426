"""Runs over real sites before they run: what is checked, and what is laid out."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from common import keys
from common.bundle import BaseModelFacts, read_bundle, write_bundle
from common.endorsement import endorse, read_endorsement
from common.errors import CheckpointError, UserError
from common.state import AdapterSchema
from common.study import Study
from server.coordinator.folder import CoordinatorFolder
from server.run_folder import RunFolder
from server.submission import new_run

SITES = ("north", "south")
STATE = {"head.weight": np.ones((2, 3), np.float32)}


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


def test_a_bundle_that_cannot_be_copied_leaves_no_half_of_a_run(coordinator: CoordinatorFolder, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (folder / "note.txt").symlink_to(tmp_path / "absent")
    with pytest.raises(UserError, match=r"run 'first' cannot be laid out: .*No such file"):
        made(coordinator, folder)
    assert list(coordinator.runs.iterdir()) == []
    (folder / "note.txt").unlink()
    run = made(coordinator, folder)
    assert [path.name for path in coordinator.runs.iterdir()] == ["first"]
    assert run.path.stat().st_mode & 0o777 == 0o700
