"""A run as `common.web.event_stream.news` watches it: its position is that of `events.jsonl`."""

from common.web.event_stream import Look
from server.dashboard.live import Live, Snapshot


def look(live: Live, name: str) -> Look | None:
    """Look at a run; None where there never was one of this name."""
    found = live.snapshot(name)
    if found is None:
        return None
    return Look(found.reading.is_there, found.reading.position, found.version, _said(found))


def _said(found: Snapshot) -> dict[str, object]:
    view = found.reading.view
    return {
        "position": found.reading.position,
        "round": view.done,
        "rounds": view.rounds,
        "state": found.standing.word,
        "skipped": found.reading.skipped,
    }
