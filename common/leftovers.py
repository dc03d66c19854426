"""Processes that outlived their supervisor, known by a mark in their environment, which their children inherit.

A supervisor that was killed takes nobody along, and Flower's app processes survive a stopped parent at times. A pid
alone proves nothing, since pids are used again; the mark does. Without /proc (outside Linux) nothing is found.
"""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic

MARK = "FEDPEFT_SUPERVISED"
_PROCESSES = Path("/proc")
_POLL_S = 0.05


def find_leftovers(mark: str) -> list[int]:
    """Return the pids of living processes whose environment says that `mark` started them, this process apart."""
    wanted = f"{MARK}={mark}".encode()
    pids = [int(path.name) for path in _PROCESSES.glob("[0-9]*")]
    return [pid for pid in pids if pid != os.getpid() and wanted in _environ(pid) and is_alive(pid)]


def end_leftovers(mark: str, *, patience_s: float = 10) -> None:
    """End every process that `mark` started: asked at first, killed after `patience_s` seconds."""
    pids = find_leftovers(mark)
    _signal(pids, signal.SIGTERM)
    end = monotonic() + patience_s
    while (pids := find_leftovers(mark)) and monotonic() < end:
        Event().wait(_POLL_S)
    _signal(pids, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        status = (_PROCESSES / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def command_of(pid: int) -> list[str]:
    """Return a process's arguments; empty if it is gone or another user's."""
    with suppress(OSError):
        return (_PROCESSES / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    return []


def _environ(pid: int) -> list[bytes]:
    with suppress(OSError):
        return (_PROCESSES / str(pid) / "environ").read_bytes().split(b"\0")
    return []


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
