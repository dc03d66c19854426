"""A full disk, at a site and at the coordinator: a clear end, and after some room was made the right adapter."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from server.coordinator.folder import CoordinatorFolder

pytestmark = [pytest.mark.processes, pytest.mark.slow]

SIZE = 4 * 2**20


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Put a file system of a few MB where a folder is, with the folder's files in it; only root may."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(folder: Path) -> Path:
    """Leave not one byte on a file system."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                continue
        except OSError:
            return filler
    raise AssertionError("the disk took everything")


def test_at_the_coordinator(federation: Any) -> None:
    """Whether the run's own state can be written down or not, who follows it learns that it has failed."""
    runs = CoordinatorFolder(federation.coordinator).runs
    with small_disk(runs):
        held = federation.hold(2)
        run = federation.submit("strict", "full-server")
        federation.wait(held.asked.is_set, what="question to west")
        filler = fill(runs)
        held.released.set()
        federation.wait(lambda: federation.app_has_ended(run), what="end of the run's process")
        filler.unlink()
        state = federation.ended(run)
        assert state.state == "failed"
        assert "go on with: fedpeft server resume" in state.reason
        federation.resume(run)
        federation.finished(run)


def test_at_a_site(federation: Any) -> None:
    state = federation.sites["west"].study_state(federation.bundle_digest("brief"))
    state.mkdir(parents=True, exist_ok=True)
    with small_disk(state):
        held = federation.hold(1)
        run = federation.submit("brief", "full-site")
        federation.wait(held.asked.is_set, what="question to west")
        filler = fill(state)
        held.released.set()
        ended = federation.ended(run)
        assert ended.state == "stopped"
        assert "west failed (TRAINING_FAILED)" in ended.reason
        filler.unlink()
        federation.resume(run)
        federation.finished(run)
