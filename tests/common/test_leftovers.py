"""Leftovers are found by their mark alone, ended by force where asking does not help, and others are left alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.leftovers import MARK, command_of, end_leftovers, find_leftovers, is_alive

DEAF = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); sys.stdin.read()"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(mark: str, program: str = "import sys; print('up', flush=True); sys.stdin.read()") -> subprocess.Popen[str]:
        command, pipe = [sys.executable, "-c", program], subprocess.PIPE
        process = subprocess.Popen(command, env={**os.environ, MARK: mark}, stdin=pipe, stdout=pipe, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_only_those_with_the_mark_are_found_and_ended(start: Start, tmp_path: Path) -> None:
    ours, other = start(str(tmp_path)), start(f"{tmp_path}-longer")
    assert find_leftovers(str(tmp_path)) == [ours.pid]
    end_leftovers(str(tmp_path))
    assert (ours.wait(5), other.poll()) == (-signal.SIGTERM, None)


def test_one_that_does_not_listen_is_killed(start: Start, tmp_path: Path) -> None:
    deaf = start(str(tmp_path), DEAF)
    end_leftovers(str(tmp_path), patience_s=0.2)
    assert deaf.wait(5) == -signal.SIGKILL


def test_a_process_that_has_ended_is_not_alive_though_its_parent_has_not_noticed(start: Start, tmp_path: Path) -> None:
    process = start(str(tmp_path))
    assert is_alive(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid)
    assert find_leftovers(str(tmp_path)) == []


def test_this_process_is_no_leftover_of_its_own(tmp_path: Path) -> None:
    program = f"import os; from common.leftovers import find_leftovers; print(find_leftovers({str(tmp_path)!r}))"
    environ = {**os.environ, MARK: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_command_is_read_whole(start: Start, tmp_path: Path) -> None:
    assert command_of(start(str(tmp_path), DEAF).pid) == [sys.executable, "-c", DEAF]
    assert command_of(2**22 + 1) == []
