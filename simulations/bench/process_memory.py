"""Peak memory of processes that others started, from /proc: known by a word of their command and their Flower home."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import time

_POLL_S = 0.2


@dataclass(frozen=True)
class Peaks:
    """For each word, when it was looked and the peak until then, in MB (1024 kB), of the largest such process."""

    samples: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)

    def until(self, word: str, moment: float) -> float:
        """Return the peak of a process up to a moment (seconds since 1970), or 0 where it was not seen before."""
        return max((peak for when, peak in self.samples[word] if when <= moment), default=0.0)


@contextmanager
def watching(home: Path, words: Sequence[str]) -> Iterator[Peaks]:
    """Look several times a second while the block runs."""
    peaks, stop = Peaks({word: [] for word in words}), Event()
    thread = Thread(target=_watch, args=(str(home.resolve()), peaks, stop), daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def _watch(home: str, peaks: Peaks, stop: Event) -> None:
    while not stop.wait(_POLL_S):
        pids = processes_of(home)
        for word, samples in peaks.samples.items():
            found = [peak_of(pid) for pid in pids if word in command_of(pid)]
            samples.append((time(), max(found, default=0.0)))


def processes_of(home: str) -> list[str]:
    """Return the pids of the processes whose FLWR_HOME this is."""
    wanted = f"FLWR_HOME={home}".encode()
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if wanted in _read(path).split(b"\0")]


def command_of(pid: str) -> str:
    """Return a process's program and arguments, or nothing where it is gone."""
    return _read(Path("/proc", pid, "cmdline")).replace(b"\0", b" ").decode(errors="replace")


def peak_of(pid: str) -> float:
    """Return a process's largest resident set so far in MB, or 0 where it is gone."""
    for line in _read(Path("/proc", pid, "status")).splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _read(path: Path) -> bytes:
    with suppress(OSError):  # another user's, or gone meanwhile
        return path.read_bytes()
    return b""
