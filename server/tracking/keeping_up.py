"""Bringing one destination up to what `events.jsonl` says, now and again; what fails is begun anew the next time.

The events are the memory: whoever lags, or was away, loses nothing.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import BundleError
from server.events import Event
from server.following import EventReader
from server.run_folder import RunFolder
from server.trackers import Tracker, TrackingError
from server.tracking.destination import Destination
from server.tracking.facts import facts_of, finished, milliseconds
from server.tracking.points import batches


@dataclass
class KeepingUp:
    """One run and one destination.

    tracker, reader: None until the run has begun, and after a failure. round: the last that is tracked whole, None for
    none. has_rounds: these are all. failure: why the last attempt failed, None where it did not. is_complete: the whole
    run is tracked.
    """

    run: Path
    to: Destination
    tracker: Tracker | None = None
    reader: EventReader | None = None
    round: int | None = None
    has_rounds: bool = False
    time_ms: int = 0
    failure: str | None = None
    is_complete: bool = False

    def advance(self, *, is_over: bool = False) -> bool:
        """Track what is new; say whether that went well. is_over: the run has ended, and its results are tracked."""
        try:
            self._advance(is_over=is_over)
        except (TrackingError, BundleError) as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(error.strerror or type(error).__name__)
        except ValueError:
            self._fail("results.json is damaged")
        else:
            self.failure = None
        return self.failure is None

    def _advance(self, *, is_over: bool) -> None:
        if self.tracker is None or self.reader is None:
            facts = facts_of(self.run)
            if facts is None:
                return
            self.tracker, self.reader = self.to.place.open(self.run, facts), EventReader(RunFolder(self.run))
        for batch in batches(self._timed(self.reader)):
            self.tracker.add(batch)
            self.round, self.has_rounds = batch.number, batch.is_last
        if is_over and not self.is_complete:
            left = finished(self.run, number=self.round or 0, time_ms=self.time_ms)
            self.tracker.end(left)
            self.is_complete = left is not None

    def _timed(self, reader: EventReader) -> Iterator[tuple[int, Event]]:
        for time, event in reader.timed():
            self.time_ms = milliseconds(time)
            yield self.time_ms, event

    def _fail(self, why: str) -> None:
        self.failure = why
        self.close()

    def close(self) -> None:
        """Let go of the destination."""
        if self.tracker is not None:
            self.tracker.close()
        self.tracker = self.reader = None

    def behind(self) -> str:
        """Return what is not tracked, and why, in words."""
        since = "nothing" if self.round is None else f"nothing after round {self.round}"
        lacks = "neither results nor adapter" if self.has_rounds else since
        return f"{self.to.kind} has {lacks} ({self.failure})"

    def command(self) -> str:
        """Return the command that tracks what is missing."""
        return catching_up(self.run, self.to.text)


def catching_up(run: Path, destination: str) -> str:
    """Return the command that brings a destination up to a run.

    >>> catching_up(Path("out/run 1"), "csv")
    "fedpeft track 'out/run 1' --to csv"
    """
    return shlex.join(["fedpeft", "track", str(run), "--to", destination])
