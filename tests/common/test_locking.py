"""A lock is one process's at a time, and free when it ends."""

import subprocess
import sys
from pathlib import Path
from threading import Thread

from common.locking import exclusive

HOLD = """
import sys
from pathlib import Path
from common.locking import exclusive
with exclusive(Path({!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_waits_until_the_holder_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD.format(str(path))]
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
