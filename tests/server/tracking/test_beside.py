"""Beside a run: what a destination does, or does not, never ends the block or holds it longer than it is given."""

import resource
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from common.errors import ParticipationError
from server.trackers.csv import FILE
from server.tracking import destination as destinations
from server.tracking.beside import tracked
from server.tracking.destination import Destination, destination
from server.tracking.process import BEHIND

pytestmark = pytest.mark.processes


def test_the_table_is_whole_when_the_block_ends_and_nothing_is_said(own_run: Path) -> None:
    said: list[str] = []
    with tracked(own_run, [destination("csv", base=own_run), destination("tensorboard", base=own_run)], said.append):
        pass
    assert said == []
    rows = (own_run / FILE).read_text().splitlines()
    assert any(row.startswith("2,,validation/auroc,") for row in rows)
    assert any((own_run / "tensorboard").rglob("events.out.tfevents.*"))


def test_a_run_that_fails_fails_as_it_would_alone(own_run: Path) -> None:
    (own_run / "results.json").unlink()
    said: list[str] = []
    with pytest.raises(ParticipationError), tracked(own_run, [destination("csv", base=own_run)], said.append):
        raise ParticipationError("round 3")
    assert said == []
    assert (own_run / FILE).exists()


def test_a_server_that_hangs_is_left_behind_with_the_command_for_later(own_run: Path) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        text = f"mlflow=http://127.0.0.1:{deaf.getsockname()[1]}"
        begin = monotonic()
        with tracked(own_run, [destination(text, base=own_run)], said.append, end_s=2):
            played = monotonic() - begin
        ended = monotonic() - begin
    assert played < 1
    assert ended < 8
    assert said == [
        f"tracking: mlflow did not take everything in time; catch up with: fedpeft track {own_run} --to {text}"
    ]


def test_a_package_that_is_missing_is_one_line(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "_LIBRARIES", {"csv": "a_library_that_is_not_there"})
    said: list[str] = []
    with tracked(own_run, [destination("csv", base=own_run)], said.append):
        pass
    (line,) = said
    assert "needs the package 'a_library_that_is_not_there': pip install 'fedpeft[tracking]'" in line
    assert f"fedpeft track {own_run} --to csv" in line


def test_a_process_that_dies_is_said(own_run: Path) -> None:
    unknown = Destination("csv", "carrier-pigeon", destination("csv", base=own_run).place)
    said: list[str] = []
    with tracked(own_run, [unknown], said.append):
        pass
    assert len(said) == 1
    assert "ended by itself" in said[0]


def little_room() -> None:
    """No file of the process may grow beyond this: what a full disk is, in the small."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


def test_where_the_disk_is_full_the_process_says_so_and_what_is_missing_comes_later(own_run: Path) -> None:
    command = [sys.executable, "-P", "-m", "server.tracking.process", str(own_run), "csv"]
    done = subprocess.run(command, input="", capture_output=True, text=True, preexec_fn=little_room, timeout=60)
    assert (done.returncode, done.stdout.count("\n")) == (BEHIND, 1)
    assert done.stdout.startswith("tracking: csv has nothing")
    assert done.stdout.endswith(f"(File too large); catch up with: fedpeft track {own_run} --to csv\n")
    assert (own_run / FILE).stat().st_size == 3000
    said: list[str] = []
    with tracked(own_run, [destination("csv", base=own_run)], said.append):
        pass
    rows = [row.split(",")[:3] for row in (own_run / FILE).read_text().splitlines()]
    assert said == []
    assert len({tuple(row) for row in rows}) == len(rows) > 100
