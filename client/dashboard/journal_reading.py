"""The journal, kept up with as it grows: only what was written since is read, and nothing is written."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.growing import lines_after
from common.receipts import FORMAT


class Line(BaseModel):
    """One entry of the journal with the time and number that the log gave it; see `client.journal.Entry`."""

    model_config = ConfigDict(frozen=True)
    time: str
    seq: int = 0
    decision: Literal["released", "repeated", "refused"]
    study: str
    run: str
    round: int
    kind: str
    reason: str | None = None
    tensors: int = Field(ge=0)
    size_bytes: int = Field(ge=0)
    digest: str | None = None
    metrics: tuple[str, ...] = ()
    histograms: tuple[str, ...] = ()
    examples: int | None = None
    policy: str | None = None

    @property
    def left(self) -> bool:
        """Whether something left."""
        return self.decision != "refused"


@dataclass(frozen=True)
class Reading:
    """The entries up to `position`, the byte after the last whole line; `skipped` lines were no entries.

    is_there: whether the file was there when it was last looked at; unfinished: bytes after `position`.
    """

    lines: tuple[Line, ...] = ()
    position: int = 0
    skipped: int = 0
    unfinished: int = 0
    is_there: bool = True
    inode: int | None = None


def read_on(path: Path, before: Reading) -> Reading:
    """Return the reading after what was written to `path` since.

    A file that is another one, or shorter, is read from its beginning; one that is gone leaves what was read.
    """
    try:
        found = path.stat()
        if before.inode not in (None, found.st_ino) or found.st_size < before.position:
            before = Reading()
        if found.st_size == before.position:
            return replace(before, inode=found.st_ino, unfinished=0, is_there=True)
        now = _read(path, before)
        return replace(now, inode=found.st_ino, is_there=True, unfinished=max(0, found.st_size - now.position))
    except (FileNotFoundError, NotADirectoryError):
        return replace(before, is_there=False)


def _read(path: Path, before: Reading) -> Reading:
    lines, position, skipped = list(before.lines), before.position, before.skipped
    for end, content in lines_after(path, position):
        position, line = end, _line(content)
        if line is not None:
            lines.append(line)
        else:
            skipped += not _is_head(content)
    return Reading(tuple(lines), position, skipped)


def _line(content: bytes) -> Line | None:
    try:
        return Line.model_validate_json(content)
    except ValidationError:
        return None


def _is_head(content: bytes) -> bool:
    """Whether it is line 0, which names the key."""
    try:
        found = json.loads(content)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("log") == FORMAT


class JournalReader:
    """Reads one journal on, for many requests at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = Reading()
        self._lock = Lock()

    def now(self) -> Reading:
        """Return the journal as it is now. Raises OSError where it cannot be read."""
        with self._lock:
            self._reading = read_on(self._path, self._reading)
            return self._reading
