"""Programs under a real supervisord: they come back, they end, and nothing is left."""

import fcntl
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import monotonic

import pytest

from common.errors import UserError
from common.leftovers import find_leftovers, is_alive
from common.supervision import MAX_SOCKET, Program, is_running, prepare_and_start, restart, start, states, stop

pytestmark = pytest.mark.processes

SLEEPER = Program("sleeper", ("sleep", "1000"))
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
LAST_WORD = (
    "import signal, sys, time; "
    "signal.signal(15, lambda *_: (open({!r}, 'a').write('{} '), sys.exit())); "
    "time.sleep(1000)"
)
PARENT = "import subprocess, time; subprocess.Popen(['sleep', '1000'], start_new_session=True); time.sleep(1000)"


def python(name: str, program: str, **options: object) -> Program:
    return Program(name, (sys.executable, "-c", program), **options)  # type: ignore[arg-type]


def wait_until(reached: Callable[[], bool], deadline_s: float = 20) -> None:
    end = monotonic() + deadline_s
    while not reached():
        assert monotonic() < end
        Event().wait(0.05)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, whatever pytest calls its own: in a long one the socket would lie elsewhere."""
    with TemporaryDirectory(prefix="fedpeft-") as place:
        yield Path(place) / "run"
        stop(Path(place) / "run")


def pid_of(folder: Path, name: str) -> int:
    pid = states(folder)[name].pid
    assert pid is not None
    return pid


def begin(folder: Path, *programs: Program) -> None:
    start(folder, programs, logs=folder.parent / "logs")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_programs_run_with_their_environment_and_end(folder: Path) -> None:
    speaker = python("speaker", "import os, time; print(os.environ['WORD'], flush=True); time.sleep(1000)")
    begin(folder, SLEEPER, Program("speaker", speaker.command, {"WORD": "a=b, 100% 'c'!"}))
    assert is_running(folder)
    assert {name: state.running for name, state in states(folder).items()} == {"sleeper": True, "speaker": True}
    pids = [pid_of(folder, name) for name in ("sleeper", "speaker")]
    assert mode(folder) == mode(folder / "supervisor.sock") == 0o700
    assert mode(folder / "supervisord.conf") == 0o600
    stop(folder)
    assert not any(map(is_alive, pids))
    assert not is_running(folder)
    assert states(folder) == {}
    log = folder.parent / "logs" / "speaker.log"
    assert (log.read_text(), mode(log)) == ("a=b, 100% 'c'!\n", 0o600)


def test_a_second_start_is_refused_and_changes_nothing(folder: Path) -> None:
    begin(folder, SLEEPER)
    pid = pid_of(folder, "sleeper")
    with pytest.raises(UserError, match="run already; stop them first"):
        begin(folder, SLEEPER)
    assert pid_of(folder, "sleeper") == pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_ends_comes_back(folder: Path, number: signal.Signals) -> None:
    begin(folder, SLEEPER)
    pid = pid_of(folder, "sleeper")
    os.kill(pid, number)
    wait_until(lambda: states(folder)["sleeper"].pid not in {pid, None})


def test_what_is_prepared_is_prepared_under_the_lock_and_only_if_nothing_runs(folder: Path) -> None:
    calls = []

    def prepare() -> list[Program]:
        with (folder / "lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        calls.append("prepared")
        return [SLEEPER]

    prepare_and_start(folder, prepare, logs=folder.parent / "logs")
    with pytest.raises(UserError, match="run already"):
        prepare_and_start(folder, prepare, logs=folder.parent / "logs")
    assert calls == ["prepared"]


def test_a_program_that_exits_0_comes_back(folder: Path) -> None:
    begin(folder, python("short", "import time; time.sleep(1.5)"))
    pid = pid_of(folder, "short")
    wait_until(lambda: states(folder)["short"].pid not in {pid, None})


def test_a_program_that_does_not_stay_up_is_named_and_nothing_is_left(folder: Path) -> None:
    with pytest.raises(UserError, match=r"'bad' does not stay up.* logs/bad\.log"):
        begin(folder, SLEEPER, python("bad", "raise SystemExit(1)"))
    assert not is_running(folder)
    assert find_leftovers(str(folder.resolve())) == []


def test_a_restart_ends_what_does_not_listen(folder: Path) -> None:
    begin(folder, python("stubborn", STUBBORN, stop_wait_s=1, steady_s=2))
    pid = pid_of(folder, "stubborn")
    os.kill(pid, signal.SIGSTOP)
    restart(folder, "stubborn")
    assert not is_alive(pid)
    wait_until(lambda: states(folder)["stubborn"].running)
    with pytest.raises(UserError, match="BAD_NAME"):
        restart(folder, "nobody")


def test_children_in_a_session_of_their_own_end_too(folder: Path) -> None:
    begin(folder, python("parent", PARENT))
    wait_until(lambda: len(find_leftovers(str(folder.resolve()))) == 3)  # the supervisor's too
    stop(folder)
    assert find_leftovers(str(folder.resolve())) == []


def test_a_killed_supervisor_is_recovered_from(folder: Path) -> None:
    begin(folder, SLEEPER)
    orphan = pid_of(folder, "sleeper")
    os.kill(int((folder / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not is_running(folder))
    assert is_alive(orphan)
    begin(folder, SLEEPER)
    assert not is_alive(orphan)
    assert states(folder)["sleeper"].running


def test_stop_ends_what_a_killed_supervisor_left(folder: Path) -> None:
    begin(folder, SLEEPER)
    orphan = pid_of(folder, "sleeper")
    os.kill(int((folder / "supervisord.pid").read_text()), signal.SIGKILL)
    stop(folder)
    assert not is_alive(orphan)


def test_a_pid_file_of_another_process_is_not_believed(folder: Path) -> None:
    folder.mkdir()
    (folder / "supervisord.pid").write_text(str(os.getpid()))
    assert not is_running(folder)
    begin(folder, SLEEPER)
    assert states(folder)["sleeper"].running


def test_a_long_path_is_no_matter(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "100% run"
    assert len(os.fsencode(folder)) > MAX_SOCKET
    try:
        begin(folder, SLEEPER)
        assert states(folder)["sleeper"].running
        socket = Path(json.loads((folder / "supervision.json").read_bytes())["socket"])
        assert folder not in socket.parents
        assert mode(socket.parent) == 0o700
    finally:
        stop(folder)
    assert not socket.parent.exists()


def test_the_highest_priority_stops_first(folder: Path) -> None:
    order = str(folder.parent / "order")
    priorities = {"b": 1, "c": 2, "a": 3}
    begin(folder, *(python(n, LAST_WORD.format(order, n), priority=p) for n, p in priorities.items()))
    stop(folder)
    assert Path(order).read_text().split() == ["a", "c", "b"]
