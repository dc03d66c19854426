"""How far a run is, and when it may be done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

from server.dashboard.state import View
from server.report.values import number

RECENT: Final = 10
"""Rounds whose median length the remaining ones are taken to have."""


@dataclass(frozen=True)
class Progress:
    """Complete rounds, planned ones, seconds of a recent round and those that are left; None where nothing tells."""

    done: int
    rounds: int
    round_s: float | None
    left_s: float | None


def progress(view: View, now: datetime | None = None) -> Progress:
    """Return the progress of a run; what the round under way has taken already is taken off."""
    lengths = [number(view.records[k], "seconds", "total") for k in sorted(view.records)[-RECENT:]]
    known = [length for length in lengths if length is not None]
    round_s = median(known) if known else None
    left = None
    if round_s is not None and not view.is_finished:
        spent = 0.0 if view.asking is None else seconds_since(view.asking.since, now)
        left = max(0.0, round_s * (view.rounds - view.done) - min(spent, round_s))
    return Progress(view.done, view.rounds, round_s, left)


def seconds_since(time: str, now: datetime | None = None) -> float:
    """Return the seconds since an ISO time; 0 for a text that is none, or for the future."""
    try:
        then = datetime.fromisoformat(time)
    except ValueError:
        return 0.0
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, ((now or datetime.now(UTC)) - then).total_seconds())


def answers(view: View) -> Mapping[str, str]:
    """Return what each asked site has done in the round under way: its status, `awaited` with why, or `asked`."""
    if view.asking is None:
        return {}
    found = dict.fromkeys(view.asking.cohort, "asked")
    found |= {site: f"awaited: {why}" if why else "awaited" for site, why in view.asking.awaited.items()}
    return found | {site: answer.status for site, answer in view.asking.answers.items()}
