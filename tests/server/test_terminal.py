"""What a person sees of a run: who is waited for, as a line of its own; nothing at all where nobody looks."""

import time
from collections.abc import Iterator

import pytest

from server.events import SitesAwaited
from server.terminal import awaited_line, progress_bars

AWAITED = SitesAwaited(3, {"north": "not connected", "south": "BUSY"}, "2026-11-25T13:05:10+00:00")


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock one hour ahead of UTC."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_who_is_waited_for_is_said_with_reason_and_local_time() -> None:
    expected = "round 3: waiting for north, not connected; south, BUSY, until 2026-11-25 14:05"
    assert awaited_line(AWAITED) == expected


@pytest.mark.parametrize("visible", [True, False])
def test_the_line_stays_where_bars_are_shown(visible: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars(visible=visible) as listener:
        listener.on_event(AWAITED)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("waiting for north, not connected" in captured.err) == visible
