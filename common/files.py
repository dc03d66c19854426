"""Files that are either whole or absent: write beside, then rename. And files that only grow, line by line."""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final  # JSON values have no narrower type

_READ_BY_PEOPLE: Final = 1 << 20
"""Characters of JSON."""


def write_bytes(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    """Write `content` to `path` atomically: a reader sees the old file or the new one, never a part.

    `durable` also survives a power cut (fsync of file and folder), at some milliseconds per call. `mode` is lowered by
    the process's umask; 0o600 is for what is a site's own.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(opened(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        _sync_descriptor(path.parent)


def opened(path: Path, flags: int, mode: int) -> int:
    """Return a descriptor of the file, as `os.open`; its folder is made where that is not there yet."""
    try:
        return os.open(path, flags, mode)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, mode)


def sync(path: Path) -> None:
    """Let a file that others have written, and its place in its folder, survive a power cut."""
    _sync_descriptor(path)
    _sync_descriptor(path.parent)


def _sync_descriptor(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write `value` as JSON, atomically; indented, unless it is large. NaN and infinity are errors: absent is null.

    Nobody reads what thousands of sites have in it line by line, and to indent it takes ten times as long.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    if len(text) <= _READ_BY_PEOPLE:
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode(), durable=durable)


def append_json_line(path: Path, value: Mapping[str, Any], *, durable: bool, mode: int = 0o666) -> None:
    """Append `value` as one line of JSON, led by the `time` in UTC; the line is with the system when this returns.

    A line that a killed process left unfinished is ended first, so that it spoils no other. `durable` also survives a
    power cut. NaN and infinity are errors, and nothing is written. `mode` is that of a new file.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, **value}, allow_nan=False).encode() + b"\n"
    file = opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, mode)
    try:
        write_whole(file, line if _ends_whole(file) else b"\n" + line)
        if durable:
            os.fsync(file)
    finally:
        os.close(file)


def write_whole(file: int, content: bytes) -> None:
    """Write all of `content` to a descriptor: the system may take a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _ends_whole(file: int) -> bool:
    """Whether the file is empty or ends with a line's end."""
    size = os.fstat(file).st_size
    return size == 0 or os.pread(file, 1, size - 1) == b"\n"


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of `value`: sorted keys, no spaces, no NaN. Digests are taken over this.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def digest_bytes(content: bytes) -> str:
    """Return `sha256:<64 hex digits>` of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_json(value: Any) -> str:
    """Return the digest of the canonical JSON of `value`."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """Return `sha256:<64 hex digits>` of a file's content, read in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
