"""A run's view, kept up with its `events.jsonl`: only what was written since is read, and nothing is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final  # lines are JSON

from pydantic_core import from_json  # twice as fast as the standard library's on lines of this size

from common.growing import lines_after
from server.dashboard.state import View, fold
from server.events import from_json as event_from_json

_HEAD: Final = 80
"""Bytes in which a line says what event it is: the time, then the name."""
_TAIL: Final = 1 << 20
"""Bytes from the end of the events in which a line of the last round is looked for."""


@dataclass(frozen=True)
class Reading:
    """The view up to `position`, the byte after the last whole line; `skipped` lines were of no event that we know.

    is_there: whether the run's folder was there when it was last looked at. inode: of the file that was read.
    """

    view: View = field(default_factory=View)
    position: int = 0
    skipped: int = 0
    is_there: bool = True
    inode: int | None = None


def read_on(path: Path, before: Reading) -> Reading:
    """Return the reading after what was written to `path` since; a line without its end waits for it.

    A file that is another one, or shorter, is read from its beginning: the folder was laid out anew.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return replace(before, is_there=path.parent.is_dir())
    before = replace(before, is_there=True)
    if before.inode not in (None, found.st_ino) or found.st_size < before.position:
        before = Reading()
    if found.st_size == before.position:
        return replace(before, inode=found.st_ino)
    try:
        return replace(_read(path, before), inode=found.st_ino)
    except FileNotFoundError:  # it went meanwhile
        return replace(before, is_there=False)


def _read(path: Path, before: Reading) -> Reading:
    view, position, skipped = before.view, before.position, before.skipped
    replies: list[bytes] = []
    for end, line in lines_after(path, position):
        position = end
        if _is_reply(line):
            replies.append(line)
            continue
        said = [] if _is_round(line) else replies
        replies = []
        view, skipped = _after([*said, line], view, skipped)
    view, skipped = _after(replies, view, skipped)
    return Reading(view, position, skipped)


def _is_reply(line: bytes) -> bool:
    return b'"event": "reply"' in line[:_HEAD]


def _is_round(line: bytes) -> bool:
    """The replies before it are in its record, and need not be read: they are most lines of a long run."""
    return b'"event": "round_finished"' in line[:_HEAD] and line.endswith(b"}\n")


def _after(lines: Iterable[bytes], view: View, skipped: int) -> tuple[View, int]:
    """Return the view after these lines; one of another version, or damaged, is skipped and counted."""
    for line in lines:
        try:
            content = from_json(line)
            view = fold(event_from_json(content), view, str(content.get("time", "")))
        except (ValueError, TypeError, KeyError, AttributeError):
            skipped += 1
    return view, skipped


@dataclass(frozen=True)
class Last:
    """What the end of the events says: complete rounds of how many, the last event's name and time, pooled scores."""

    event: str = ""
    time: str = ""
    round: int = 0
    rounds: int = 0
    pooled: Mapping[str, Any] = field(default_factory=dict)


def read_last(path: Path) -> Last:
    """Return what the last lines say, without reading a long file whole."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            lines = file.read(_TAIL).split(b"\n")
    except OSError:
        return Last()
    found = [content for line in reversed(lines[:-1]) if (content := _table(line)) is not None]
    return _last(found)


def _last(found: list[dict[str, Any]]) -> Last:
    if not found:
        return Last()
    latest = found[0]
    finished = next((each for each in found if each["event"] == "round_finished"), {})
    planned = next((each["rounds"] for each in found if isinstance(each.get("rounds"), int)), 0)
    ended = latest["event"] == "run_finished"
    started = next((each for each in found if each["event"] == "run_started"), {})
    done = planned if ended else finished.get("round", started.get("round", 0))
    validation = latest.get("validation") if ended else finished.get("validation")
    pooled = validation.get("pooled") if isinstance(validation, dict) else None
    return Last(str(latest["event"]), str(latest.get("time", "")), int(done), int(planned), pooled or {})


def _table(line: bytes) -> dict[str, Any] | None:
    try:
        content = from_json(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and isinstance(content.get("event"), str) else None
