"""The runs in memory: each is read on from where it was left, by whoever looks next, and never twice."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # results are JSON

from server.dashboard.folders import Source, Standing, results_of, standing, study_of
from server.dashboard.reading import Last, Reading, read_last, read_on
from server.run_folder import RunFolder


@dataclass(frozen=True)
class Snapshot:
    """One run as it is now: its name, what was read of its events, where it is, its study, its results."""

    name: str
    reading: Reading
    standing: Standing
    study: Mapping[str, Any]
    results: Mapping[str, Any]

    @property
    def version(self) -> str:
        """A short text that is another one when there is something new to see."""
        read = self.reading
        return f"{read.position}-{self.standing.word}-{'r' if self.results else ''}-{'' if read.is_there else 'gone'}"


@dataclass
class _Kept:
    """What is held of one run, and by whom it is being read on."""

    reading: Reading = field(default_factory=Reading)
    results: tuple[int, Mapping[str, Any]] = (0, {})
    study: tuple[int, Mapping[str, Any]] = (0, {})
    lock: threading.Lock = field(default_factory=threading.Lock)


class Live:
    """The runs of a source; asked by many requests at once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._kept: dict[str, _Kept] = {}
        self._folders: dict[str, RunFolder] = {}
        self._lock = threading.Lock()

    def names(self) -> dict[str, RunFolder]:
        """Return the runs that are there."""
        found = self.source.runs()
        with self._lock:
            self._folders.update(found)
        return found

    def folder(self, name: str) -> RunFolder | None:
        """Return the folder of a run that is there, or was while we looked on; None for a name that never was."""
        return self._folders.get(name) or self.names().get(name)

    def snapshot(self, name: str) -> Snapshot | None:
        """Return a run as it is now; None where there is no such run."""
        folder = self.folder(name)
        if folder is None:
            return None
        with self._lock:
            kept = self._kept.setdefault(name, _Kept())
        with kept.lock:
            kept.reading = read_on(folder.events, kept.reading)
            kept.results = _if_changed(folder.results, kept.results, lambda: results_of(folder))
            kept.study = _if_changed(folder.bundle / "study.json", kept.study, lambda: study_of(folder))
            reading = kept.reading
            where = standing(self.source, folder, _last(reading))
            return Snapshot(name, reading, where, kept.study[1], kept.results[1])

    def read_ahead(self, most: int = 3) -> None:
        """Read the runs that last said something, so that their first page has nothing to wait for."""
        lasts = sorted(self.overview().items(), key=lambda item: item[1][1].time, reverse=True)
        for name, _ in lasts[:most]:
            self.snapshot(name)

    def overview(self) -> dict[str, tuple[Standing, Last]]:
        """Return where each run is, from the ends of its events."""
        lasts = {name: (folder, read_last(folder.events)) for name, folder in self.names().items()}
        return {name: (standing(self.source, folder, last), last) for name, (folder, last) in lasts.items()}


def _last(reading: Reading) -> Last:
    view = reading.view
    event = "run_finished" if view.is_finished else "run_stopped" if view.stopped else "other" if view.time else ""
    return Last(event, view.time, view.done, view.rounds)


def _if_changed(
    path: Path, kept: tuple[int, Mapping[str, Any]], read: Callable[[], Mapping[str, Any]]
) -> tuple[int, Mapping[str, Any]]:
    try:
        written = path.stat().st_mtime_ns
    except OSError:
        return 0, {}
    return kept if kept[0] == written and kept[1] else (written, read())
