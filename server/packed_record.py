"""A round's record as a few bytes: of ten rounds with a thousand sites each nothing is in memory but these.

What a round says of each site stays as it is once its validation has come; nobody reads it before the run's end.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final  # JSON values

from common.files import digest_bytes

_FAST: Final = 1


@dataclass(frozen=True, eq=False)
class PackedRecord(Mapping[str, Any]):
    """A record like any other, which is unpacked anew whenever it is read; digest: of its JSON text."""

    compressed: bytes
    digest: str

    @staticmethod
    def of(record: Mapping[str, Any]) -> "PackedRecord":
        """Pack a record; one that is packed is returned as it is."""
        if isinstance(record, PackedRecord):
            return record
        return PackedRecord.read(json.dumps(record, allow_nan=False).encode())

    @staticmethod
    def read(text: bytes) -> "PackedRecord":
        """Pack the JSON text of a record."""
        return PackedRecord(zlib.compress(text, _FAST), digest_bytes(text))

    @property
    def text(self) -> bytes:
        """Its JSON text."""
        return zlib.decompress(self.compressed)

    def unpacked(self) -> dict[str, Any]:
        """Return the whole record."""
        found: dict[str, Any] = json.loads(self.text)
        return found

    def __getitem__(self, key: str) -> Any:
        return self.unpacked()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.unpacked())

    def __len__(self) -> int:
        return len(self.unpacked())


def unpacked(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record as a table in memory."""
    return record.unpacked() if isinstance(record, PackedRecord) else record
