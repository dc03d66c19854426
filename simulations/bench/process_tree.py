"""Processor time and memory of a process and all that it started, from /proc."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

_PROC = Path("/proc")
_LOOK_S = 0.1


def tree(root: int) -> list[int]:
    """Return `root` and its living descendants; none where it is gone."""
    parents = {pid: int(fields[1]) for pid, fields in _processes()}
    found = [root] if root in parents else []
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return what these processes and those of their children that have ended have computed, kernel included."""
    ticks = sum(sum(map(int, fields[11:15])) for pid, fields in _processes() if pid in set(pids))
    return float(ticks / os.sysconf("SC_CLK_TCK"))


def memory_mb(pids: Sequence[int]) -> float:
    """Return what these processes hold now, in MB (1024 kB); a page that n processes share counts 1/n in each."""
    return sum(_proportional_kb(pid) for pid in pids) / 1024


def _proportional_kb(pid: int) -> int:
    with suppress(OSError):  # gone meanwhile
        lines = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return 0


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Yield pid and fields of /proc/PID/stat from the third on (proc(5)): the second, a name, may hold spaces."""
    for path in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # gone meanwhile
            yield int(path.parent.name), path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


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
