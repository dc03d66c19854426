"""Keeping up: whatever fails and whenever, once a destination takes figures again it has them all, each once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from errno import ENOSPC
from os import strerror
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.trackers import Batch, Facts, Finished, Tracker, TrackingError
from server.trackers.csv import FILE, Csv
from server.tracking.destination import Destination
from server.tracking.keeping_up import KeepingUp

FULL = OSError(ENOSPC, strerror(ENOSPC))


@dataclass
class Faulty:
    """The table, but each call fails where the story says so, after it has done half of its work or before."""

    story: list[Exception | None]
    inner: Csv = field(default_factory=Csv)

    def open(self, run: Path, facts: Facts) -> "FaultyTable":
        self.happen()
        return FaultyTable(self, self.inner.open(run, facts))

    def happen(self) -> None:
        error = self.story.pop(0) if self.story else None
        if error is not None:
            raise error


@dataclass
class FaultyTable:
    place: Faulty
    table: Tracker

    def add(self, batch: Batch) -> None:
        self.place.happen()
        half = Batch(batch.number, batch.time_ms, batch.points[: len(batch.points) // 2])
        self.table.add(half)
        self.place.happen()
        self.table.add(batch)

    def end(self, finished: Finished | None) -> None:
        self.place.happen()
        self.table.end(finished)

    def close(self) -> None:
        self.table.close()


def clean(run: Path) -> bytes:
    keeping = KeepingUp(run, Destination("csv", "csv", Csv()))
    assert keeping.advance(is_over=True)
    content = (run / FILE).read_bytes()
    (run / FILE).unlink()
    return content


@given(st.lists(st.sampled_from([None, FULL, TrackingError("no connection")]), max_size=30), st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_lost_and_nothing_is_twice(
    own_run: Path, story: list[Exception | None], data: st.DataObject
) -> None:
    expected, lines = clean(own_run), (own_run / "events.jsonl").read_bytes()
    keeping = KeepingUp(own_run, Destination("csv", "csv", Faulty(list(story))))
    for end in sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=4))):
        (own_run / "events.jsonl").write_bytes(lines[:end])
        keeping.advance()
    (own_run / "events.jsonl").write_bytes(lines)
    for _ in range(len(story) + 1):
        if keeping.advance(is_over=True):
            break
    assert keeping.is_complete
    assert (own_run / FILE).read_bytes() == expected
    (own_run / FILE).unlink()


@pytest.mark.parametrize(
    ("story", "said"),
    [
        ([FULL], "csv has nothing (No space left on device)"),
        ([None, None, None, FULL], "csv has nothing after round 1 (No space left on device)"),
        ([None] * 7 + [FULL], "csv has neither results nor adapter (No space left on device)"),
    ],
)
def test_what_is_missing_is_said_by_rounds(own_run: Path, story: list[Exception | None], said: str) -> None:
    keeping = KeepingUp(own_run, Destination("csv", "csv", Faulty(story)))
    assert not keeping.advance(is_over=True)
    assert keeping.behind() == said
    assert keeping.command() == f"fedpeft track {own_run} --to csv"


def spoiled(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (spoiled("results.json", b'{"format": 1, "compar'), "results.json is damaged"),
        (spoiled("bundle/study.json", b"{}"), "study.json"),
        (lambda run: (run / "bundle" / "study.json").unlink(), "study.json"),
    ],
)
def test_a_damaged_run_is_a_reason_and_no_crash(own_run: Path, harm: Callable[[Path], object], why: str) -> None:
    harm(own_run)
    keeping = KeepingUp(own_run, Destination("csv", "csv", Csv()))
    assert not keeping.advance(is_over=True)
    assert why in (keeping.failure or "")


def test_a_run_without_events_waits(tmp_path: Path) -> None:
    keeping = KeepingUp(tmp_path, Destination("csv", "csv", Csv()))
    assert keeping.advance()
    assert keeping.advance(is_over=True)
    assert not keeping.is_complete
    assert list(tmp_path.iterdir()) == []
