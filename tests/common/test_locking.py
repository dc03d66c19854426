"""A lock is one process's at a time, and free when it ends."""

import subprocess
import sys
from pathlib import Path
from threading import Thread

from common.locking import at_work, exclusive, is_at_work

HOLD = """
import sys
from pathlib import Path
from common.locking import at_work, exclusive
with {}(Path({!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_waits_until_the_holder_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD.format("exclusive", str(path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        got: list[int] = []
        waiting = Thread(target=lambda: hold_once(path, got))
        waiting.start()
        waiting.join(0.3)
        assert got == []
        holder.kill()
        waiting.join(10)
        assert got == [1]


def hold_once(path: Path, got: list[int]) -> None:
    with exclusive(path):
        got.append(1)


def test_who_is_at_work_is_known_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    assert is_at_work(path) is None
    path.touch()
    assert is_at_work(path) is False
    command = [sys.executable, "-c", HOLD.format("at_work", str(path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert [is_at_work(path), is_at_work(path)] == [True, True]
        holder.kill()
    assert is_at_work(path) is False


def test_several_may_be_at_work_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("facts", encoding="utf-8")
    path.chmod(0o400)
    with at_work(path), at_work(path):
        assert is_at_work(path) is True
    assert (is_at_work(path), path.read_text(encoding="utf-8")) == (False, "facts")
