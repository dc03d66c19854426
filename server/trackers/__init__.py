"""Where a run's figures may go besides its own folder: the tracker called `csv` is `server/trackers/csv.py`.

A tracker's module has `build`, made from what stands behind `KIND=` in `--track KIND=TARGET`; its `open` begins the
tracking of one run, or goes on with it. Nothing goes there but what `events.jsonl` and `results.json` hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from common.errors import FedpeftError


class TrackingError(FedpeftError):
    """A tracker does not take what it is given now; the text says why, in a few words and without an address."""


@dataclass(frozen=True)
class Facts:
    """What a tracker is told of a run: its id, its study's name and keys (flat), its digests, its sites.

    began_ms: milliseconds since 1970, UTC.
    """

    run: str
    study: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    sites: tuple[str, ...]
    began_ms: int


@dataclass(frozen=True)
class Point:
    """One figure after `round` rounds; 0 is before the first. site: None where it is of all. n: rows behind it."""

    round: int
    site: str | None
    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @property
    def key(self) -> tuple[int, str | None, str]:
        """What no other figure of the run has."""
        return self.round, self.site, self.name


@dataclass(frozen=True)
class Batch:
    """The figures that one event brings; number: of its round, one more than the last for those behind the last."""

    number: int
    time_ms: int
    points: tuple[Point, ...]
    is_last: bool = False


@dataclass(frozen=True)
class Finished:
    """What a complete run leaves: its last figures, and the files that are worth keeping."""

    batch: Batch
    adapter: Path
    files: Sequence[Path]


class Tracker(Protocol):
    """One run at one place. Each method raises TrackingError or OSError, and may then be called anew after `open`."""

    def add(self, batch: Batch) -> None:
        """Write the figures that are not there yet: the same batch twice is the batch once."""
        ...

    def end(self, finished: Finished | None) -> None:
        """Write what the run leaves; None: it has stopped before its end, and may go on another time."""
        ...

    def close(self) -> None:
        """Let go of files and connections. Raises nothing."""
        ...


class Place(Protocol):
    """What `build` makes."""

    def open(self, run: Path, facts: Facts) -> Tracker:
        """Begin to track the run in the folder `run`, or go on. Raises TrackingError or OSError."""
        ...
