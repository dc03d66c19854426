"""Processor time and memory of a process and all that it started."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread

import psutil

_LOOK_S = 0.1
_MB = 2**20


@dataclass(frozen=True)
class Used:
    """One process: what it calls itself, its CPU seconds, and the memory that no other process shares, in MB."""

    name: str
    cpu_s: float
    own_mb: float


def tree(root: int) -> list[int]:
    """Return `root` and its living descendants; none where it is gone."""
    try:
        process = psutil.Process(root)
        return [root, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def used(pids: Sequence[int]) -> dict[int, Used]:
    """Return what each of these processes has used, those that are gone left out."""
    found = {}
    for process in _living(pids):
        with suppress(psutil.Error), process.oneshot():
            name = next(iter(process.cmdline()), "")
            found[process.pid] = Used(name, _seconds(process), process.memory_full_info().uss / _MB)
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return what these processes and those of their children that have ended have computed, kernel included."""
    total = 0.0
    for process in _living(pids):
        with suppress(psutil.Error):
            total += _seconds(process)
    return total


def memory_mb(pids: Sequence[int]) -> float:
    """Return what these processes hold now, in MB (1024 kB); a page that n processes share counts 1/n in each."""
    total = 0.0
    for process in _living(pids):
        with suppress(psutil.Error):
            total += process.memory_full_info().pss / _MB
    return total


def _living(pids: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            yield psutil.Process(pid)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


@dataclass
class Peak:
    """The most that was seen so far, in MB."""

    mb: float = 0.0


@contextmanager
def peak_of_tree(root: int) -> Iterator[Peak]:
    """Look at the memory of a process and its descendants several times a second while the block runs."""
    peak, stop = Peak(), Event()

    def look() -> None:
        while True:
            peak.mb = max(peak.mb, memory_mb(tree(root)))
            if stop.wait(_LOOK_S):
                return

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
