"""Peaks of processes that this test started, known by their Flower home."""

import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from simulations.bench.process_memory import command_of, peak_of, processes_of, watching

pytestmark = pytest.mark.processes
MB = 2**20
PROGRAM = "import sys; held = b'x' * (int(sys.argv[1]) << 20); del held; print(flush=True); sys.stdin.read()"


def start(home: Path, megabytes: int, word: str) -> "subprocess.Popen[bytes]":
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(megabytes), word],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "FLWR_HOME": str(home)},
    )
    assert started.stdout is not None
    started.stdout.readline()
    return started


def test_the_peak_stays_when_the_memory_is_given_back(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    with start(mine, 100, "small") as small, start(mine, 200, "large") as large, start(other, 400, "large") as foreign:
        with watching(mine, ("small", "large", "absent")) as peaks:
            Event().wait(1)
        assert set(processes_of(str(mine))) == {str(small.pid), str(large.pid)}
        assert "large" in command_of(str(large.pid))
        for process in (small, large, foreign):
            process.kill()
    end = peaks.samples["small"][-1][0]
    assert 100 < peaks.until("small", end) < 180 < 200 < peaks.until("large", end) < 280
    assert peaks.until("absent", end) == peaks.until("large", 0) == 0


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    with start(tmp_path, 1, "short") as started:
        started.kill()
    assert peak_of(str(started.pid)) == 0
    assert command_of(str(started.pid)) == ""
