"""A file that stays open and only grows; what is added is with the system when the call returns."""

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Write = Callable[[int, memoryview], int]


class Appending:
    """The file `path`, made where it is not there; closed with this object, or by `close`."""

    def __init__(self, path: Path, write: Write = os.write) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._write = write
        self.close = weakref.finalize(self, os.close, self._descriptor)

    def append(self, content: bytes) -> int:
        """Write all of `content` at the end, or nothing of it; return where it begins. Raises OSError."""
        begin, rest = os.fstat(self._descriptor).st_size, memoryview(content)
        try:
            while rest:
                rest = rest[self._write(self._descriptor, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, begin)
            raise
        return begin
