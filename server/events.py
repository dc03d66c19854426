"""What happens in a run, as values: for the terminal, dashboards and `events.jsonl`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal  # JSON values

from common.files import append_json_line
from common.protocol import Kind

Status = Literal["accepted", "refused", "late", "failed", "absent"]
"""accepted: it counts. refused: by the site's policy or the server's admission. late: no answer before the deadline.
failed: the site or the transport could not. absent: the site is not connected."""


@dataclass(frozen=True)
class RunStarted:
    """A run begins, or goes on after round `round`.

    finished: that round, which a process that was killed behind its checkpoint has not said.
    """

    run: str
    sites: tuple[str, ...]
    round: int
    rounds: int
    finished: "RoundFinished | None" = None


@dataclass(frozen=True)
class SiteChecked:
    """A site has said before round 1 whether the study can work there, or has not answered; `lacks` is in words."""

    site: str
    is_ready: bool
    lacks: str
    versions: Mapping[str, str | None]


@dataclass(frozen=True)
class RoundStarted:
    """Sites are asked; `kind` is evaluate for the messages after the last round, whose number goes on counting."""

    round: int
    rounds: int
    kind: Kind
    cohort: tuple[str, ...]


@dataclass(frozen=True)
class SitesAwaited:
    """Nobody is at work, and the round waits, at the latest until `until` (ISO, UTC), for sites that cannot be asked.

    reasons: why each cannot, such as that it is not connected.
    """

    round: int
    reasons: Mapping[str, str]
    until: str


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

    record: the round as `results.json` has it, its validation null: that comes with the replies to the next one.
    validation: the record of it, sites and pooled, of the adapter that went into the round, round - 1's.
    """

    round: int
    rounds: int
    record: Mapping[str, Any]
    validation: Mapping[str, Any] | None

    @property
    def seconds(self) -> float:
        """From the first question to the checkpoint."""
        return float(self.record["seconds"]["total"])

    @property
    def accepted(self) -> int:
        """How many replies count."""
        return sum(each["status"] == "accepted" for each in self.record["participation"].values())

    @property
    def train(self) -> Mapping[str, float]:
        """What sites say of their training, the mean weighted by examples."""
        found: Mapping[str, float] = self.record["train"]["mean"]
        return found

    @property
    def pooled(self) -> Mapping[str, Any]:
        """Metrics of the adapter that went into the round, over all sites' validation rows."""
        return (self.validation or {}).get("pooled") or {}


@dataclass(frozen=True)
class RunFinished:
    """The run is complete after this many rounds; `kept_round` made the adapter that is kept.

    validation: the record of it of the last round's adapter.
    """

    rounds: int
    kept_round: int
    validation: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class RunStopped:
    """A round stayed below the quorum; `round` is the last complete one."""

    round: int
    reason: str


Event = RunStarted | SiteChecked | RoundStarted | SitesAwaited | SiteAnswered | RoundFinished | RunFinished | RunStopped
Progress = Callable[[Event], None]

_NAMES = {
    RunStarted: "run_started",
    SiteChecked: "site_checked",
    RoundStarted: "round_started",
    SitesAwaited: "sites_awaited",
    SiteAnswered: "reply",
    RoundFinished: "round_finished",
    RunFinished: "run_finished",
    RunStopped: "run_stopped",
}


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as a JSON-able table, with its name under `event`."""
    content = {"event": _NAMES[type(event)], **_shallow(event)}
    if isinstance(event, RunStarted) and event.finished is not None:
        content["finished"] = _shallow(event.finished)
    return content


def _shallow(event: Event) -> dict[str, Any]:
    """As `asdict`, without the copy of every table in it: a record tells of a thousand sites."""
    return {each.name: getattr(event, each.name) for each in fields(event)}


def from_json(content: Mapping[str, Any]) -> Event:
    """Return the event of one line of `events.jsonl`. Raises ValueError, TypeError or KeyError for anything else."""
    if not isinstance(content, Mapping):
        raise TypeError(f"an event is a table, found {type(content).__name__}")
    kinds: Mapping[str, Callable[..., Event]] = {name: kind for kind, name in _NAMES.items()}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content.items()
        if name not in ("event", "time")
    }
    if values.get("finished") is not None:
        values["finished"] = RoundFinished(**values["finished"])
    return kinds[content["event"]](**values)


def recorder(path: Path, progress: Progress) -> Progress:
    """Return a function that appends each event to `path` as a JSON line and then hands it to `progress`."""

    def record(event: Event) -> None:
        append_json_line(path, to_json(event), durable=False)
        progress(event)

    return record


def ignore(event: Event) -> None:  # a Progress that shows nothing
    """Do nothing with an event."""
