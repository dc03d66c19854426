"""What happened to a name's versions, line by line, and which version is promoted after it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args  # JSON values

from common import strict_json
from common.errors import SchemaError
from common.files import append_json_line, write_json

Kind = Literal["added", "promoted", "rolled back", "pruned", "not used"]
"""not used: a candidate that a site's acceptance gate turned away; its line has no version."""
MAX_LINE: Final = 1 << 16
FORMAT: Final = 1


@dataclass(frozen=True)
class Event:
    """One line: when (ISO 8601, UTC), what, to which version, and why."""

    time: str
    event: Kind
    version: int | None
    reason: str


@dataclass(frozen=True)
class Current:
    """The promoted version (None: none is), and those that were before it, the latest last."""

    version: int | None = None
    before: tuple[int, ...] = ()

    def promoted(self, number: int) -> "Current":
        """Return what holds after `number` is promoted.

        >>> Current().promoted(1).promoted(3)
        Current(version=3, before=(1,))
        """
        return Current(number, self.before if self.version is None else (*self.before, self.version))

    def rolled_back(self, to: int) -> "Current":
        """Return what holds after going back to `to`, and past what was promoted after it.

        >>> Current(4, (1, 2, 3)).rolled_back(2)
        Current(version=2, before=(1,))
        """
        stack = list(self.before)
        while stack and stack[-1] != to:
            stack.pop()
        return Current(to, tuple(stack[:-1]))


def replay(events: Iterable[Event]) -> Current:
    """Return which version is promoted after all that happened."""
    current = Current()
    for each in events:
        if each.event == "promoted" and each.version is not None:
            current = current.promoted(each.version)
        elif each.event == "rolled back" and each.version is not None:
            current = current.rolled_back(each.version)
    return current


def note(path: Path, event: Kind, version: int | None, reason: str) -> None:
    """Append one line with the time in UTC."""
    append_json_line(path, {"event": event, "version": version, "reason": reason}, durable=True)


def read_events(path: Path) -> tuple[list[Event], list[int]]:
    """Return what happened, and the numbers (from 1) of lines that cannot be read."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    events, damaged = [], []
    for number, line in enumerate(lines, start=1):
        event = _event(line) if line else None
        if event is not None:
            events.append(event)
        elif line:
            damaged.append(number)
    return events, damaged


def _event(line: bytes) -> Event | None:
    try:
        found = strict_json.parse(line.decode(), limit=MAX_LINE)
    except (SchemaError, UnicodeDecodeError):
        return None
    if not isinstance(found, dict) or set(found) != {"time", "event", "version", "reason"}:
        return None
    if not (isinstance(found["time"], str) and isinstance(found["reason"], str) and _is_number(found["version"])):
        return None
    return Event(**found) if found["event"] in get_args(Kind) else None


def _is_number(value: Any) -> bool:
    return value is None or (type(value) is int and value > 0)


def write_current(path: Path, current: Current) -> None:
    """Write which version is promoted."""
    write_json(path, {"format": FORMAT, "version": current.version, "before": list(current.before)})


def read_current(path: Path) -> Current | None:
    """Return which version is promoted, None where no file says it. Raises SchemaError: the file is damaged."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise SchemaError("not a text") from None
    found = strict_json.parse(text, limit=MAX_LINE)
    if not isinstance(found, dict) or found.get("format") != FORMAT or set(found) != {"format", "version", "before"}:
        raise SchemaError(f"keys are not format ({FORMAT}), version and before")
    before = found["before"]
    if not (isinstance(before, list) and all(each is not None and _is_number(each) for each in before)):
        raise SchemaError("before is not a list of versions")
    if not _is_number(found["version"]):
        raise SchemaError("version is no number of a version")
    return Current(found["version"], tuple(before))
