"""Records one after the other in a file: each is whole, or, where a process was killed in writing it, not there.

MARK, length of the head, length of the body, crc32 of both (four numbers of 32 bits); head (JSON); body
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final  # JSON values

import numpy as np

from common.errors import CheckpointError
from common.state import AdapterState, Array

_FRONT: Final = struct.Struct("<4I")
_MARK: Final = 0x31435246


@dataclass(frozen=True)
class Place:
    """Where a record is: in which file, from which byte on, and its size in bytes."""

    path: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Record:
    """What a record says, as JSON, and its tensors."""

    about: Any
    tensors: AdapterState


def encoded(about: Any, tensors: AdapterState) -> bytes:
    """Return the bytes of a record."""
    described = _described(tuple((name, a.dtype, a.shape) for name, a in tensors.items()))
    head = f"[{json.dumps(about, allow_nan=False)},{described}]".encode()
    body = b"".join([array.tobytes() for array in tensors.values()])
    return _FRONT.pack(_MARK, len(head), len(body), zlib.crc32(body, zlib.crc32(head))) + head + body


@lru_cache(maxsize=1 << 8)
def _described(tensors: tuple[tuple[str, np.dtype[np.generic], tuple[int, ...]], ...]) -> str:
    """The same tensors come again with every record."""
    return json.dumps([[name, dtype.str, list(shape)] for name, dtype, shape in tensors])


def scanned(path: Path, start: int) -> Iterator[tuple[Place, Any]]:
    """Yield each whole record from the byte `start` on, where it is and what it says, up to one that is torn."""
    with path.open("rb") as file:
        file.seek(start)
        while (content := _next(file)) is not None:
            yield Place(path, file.tell() - len(content), len(content)), _about(content)


def read(place: Place) -> Record:
    """Return the record at a place. Raises CheckpointError: it is not there, or not what was written."""
    try:
        with place.path.open("rb") as file:
            file.seek(place.offset)
            content = _next(file)
    except OSError:
        content = None
    if content is None or len(content) != place.size:
        raise CheckpointError(f"a record of {place.path.name} cannot be read; begin the run anew")
    return _decoded(content)


def _next(file: BinaryIO) -> bytes | None:
    """Return the bytes of the record that begins here; None where there is none, or a part of one."""
    front = file.read(_FRONT.size)
    if len(front) < _FRONT.size:
        return None
    mark, head, body, check = _FRONT.unpack(front)
    content = file.read(head + body) if mark == _MARK else b""
    is_whole = mark == _MARK and len(content) == head + body and zlib.crc32(content) == check
    return front + content if is_whole else None


def _about(content: bytes) -> Any:
    return _head(content)[0]


def _head(content: bytes) -> Any:
    length = _FRONT.unpack_from(content)[1]
    return json.loads(content[_FRONT.size : _FRONT.size + length])


def _decoded(content: bytes) -> Record:
    about, described = _head(content)
    offset = _FRONT.size + _FRONT.unpack_from(content)[1]
    tensors: dict[str, Array] = {}
    for name, dtype, shape in described:
        tensors[name] = np.frombuffer(content, dtype, count=prod(shape), offset=offset).reshape(shape)
        offset += tensors[name].nbytes
    return Record(about, tensors)
