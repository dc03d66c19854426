"""What happens in a run, as values: for the terminal, dashboards and `events.jsonl`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal  # JSON values

Status = Literal["accepted", "refused", "late", "failed", "absent"]
"""accepted: it counts. refused: by the site's policy or the server's admission. late: no answer before the deadline.
failed: the site or the transport could not. absent: the site is not connected."""


@dataclass(frozen=True)
class RunStarted:
    """A run begins, or goes on after round `round`."""

    run: str
    sites: tuple[str, ...]
    round: int
    rounds: int


@dataclass(frozen=True)
class RoundStarted:
    """Sites are asked; `kind` is evaluate for the messages after the last round, whose number goes on counting."""

    round: int
    rounds: int
    kind: Literal["train", "evaluate"]
    cohort: tuple[str, ...]


@dataclass(frozen=True)
class SiteAnswered:
    """One site's reply has been judged; `bytes` of it came in, `seconds` after it was asked."""

    round: int
    site: str
    status: Status
    reason: str | None
    bytes: int
    seconds: float
    train: Mapping[str, float]


@dataclass(frozen=True)
class RoundFinished:
    """A round's replies are folded in and the checkpoint is written.

    validation: pooled metrics (as JSON) of the adapter that went into the round, round - 1's.
    """

    round: int
    rounds: int
    seconds: float
    accepted: int
    train: Mapping[str, float]
    validation: Mapping[str, Any]


@dataclass(frozen=True)
class RunFinished:
    """The run is complete; `kept_round` made the adapter that is kept."""

    rounds: int
    kept_round: int


@dataclass(frozen=True)
class RunStopped:
    """A round stayed below the quorum; `round` is the last complete one."""

    round: int
    reason: str


Event = RunStarted | RoundStarted | SiteAnswered | RoundFinished | RunFinished | RunStopped
Progress = Callable[[Event], None]

_NAMES = {
    RunStarted: "run_started",
    RoundStarted: "round_started",
    SiteAnswered: "reply",
    RoundFinished: "round_finished",
    RunFinished: "run_finished",
    RunStopped: "run_stopped",
}


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as a JSON-able table, with its name under `event`."""
    return {"event": _NAMES[type(event)], **asdict(event)}


def recorder(path: Path, progress: Progress) -> Progress:
    """Return a function that appends each event to `path` as a JSON line and then hands it to `progress`.

    A line that a killed process left unfinished is ended first, so that it spoils no other.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n"):
        _append(path, "\n")

    def record(event: Event) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **to_json(event)}
        _append(path, json.dumps(line, allow_nan=False) + "\n")
        progress(event)

    return record


def ignore(event: Event) -> None:  # a Progress that shows nothing
    """Do nothing with an event."""


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
