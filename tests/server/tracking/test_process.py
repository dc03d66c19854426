"""What the process beside a run says: a failure once, and at the end what is missing, if anything still is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from server.trackers import Facts, Tracker, TrackingError
from server.trackers.csv import FILE, Csv
from server.tracking import process
from server.tracking.destination import Destination
from server.tracking.keeping_up import KeepingUp
from server.tracking.process import track


class Away:
    """A destination that is away for so many attempts."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts

    def open(self, run: Path, facts: Facts) -> Tracker:
        self.attempts -= 1
        if self.attempts >= 0:
            raise TrackingError("no connection to the server")
        return Csv().open(run, facts)


def polls(number: int) -> Callable[[float], bool]:
    """A run that is over after so many looks."""
    looks = iter([False] * number)
    return lambda _: next(looks, True)


FAILED = "tracking: csv has nothing (no connection to the server); "


@pytest.mark.parametrize(
    ("attempts", "lines", "is_tracked"),
    [
        (0, [], True),
        (3, ["training goes on, and it is tried again"], True),
        (99, ["training goes on, and it is tried again", "catch up with: fedpeft track {run} --to csv"], False),
    ],
)
def test_one_line_when_it_fails_and_one_when_it_stays_so(
    own_run: Path, monkeypatch: pytest.MonkeyPatch, attempts: int, lines: list[str], is_tracked: bool
) -> None:
    monkeypatch.setattr(process, "RETRY_S", 0.0)
    said: list[str] = []
    keeping = KeepingUp(own_run, Destination("csv", "csv", Away(attempts)))
    assert track(keeping, polls(10), said.append) is is_tracked
    assert said == [FAILED + line.format(run=own_run) for line in lines]
    assert (own_run / FILE).exists() is is_tracked


def test_between_attempts_it_waits(own_run: Path) -> None:
    away = Away(99)
    track(KeepingUp(own_run, Destination("csv", "csv", away)), polls(1000), [].append)
    assert away.attempts == 99 - 2  # the first, and the last when the run is over
