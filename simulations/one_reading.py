"""A message that a round sends to a thousand sites is decoded once: its arrays are the same objects in each.

So is all that follows from it alone, such as the digest of the state that it carries. Requests are frozen, and their
arrays not writable.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from common import wire
from common.protocol import Request
from common.state import AdapterSchema

MOST: Final = 16
"""Messages that are remembered: of a round whose sites have several ranks, one for each of these."""


@dataclass(frozen=True)
class _Known:
    arrays: tuple[Array, ...]
    """Held, so that no others get their ids."""
    request: Request


@dataclass
class OneReading:
    """What was read last."""

    _known: dict[tuple[object, ...], _Known] = field(default_factory=dict)

    def read(self, content: RecordDict, schema: AdapterSchema) -> Request:
        """Decode a request, as `common.wire.decode_request` does."""
        key = (schema.digest, *_parts(content))
        found = self._known.get(key)
        if found is None:
            found = _Known(tuple(_arrays(content)), wire.decode_request(content, schema))
            while len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            self._known[key] = found
        return found.request

    def forget(self) -> None:
        """Hold nothing: the round is over."""
        self._known.clear()


def _arrays(content: RecordDict) -> Iterator[Array]:
    for record in content.values():
        if isinstance(record, ArrayRecord):
            yield from record.values()


def _parts(content: RecordDict) -> Iterator[object]:
    """Yield what makes a message: names, texts, and which arrays."""
    for name, record in content.items():
        yield name
        if isinstance(record, ArrayRecord):
            yield from ((key, id(array)) for key, array in record.items())
        elif isinstance(record, ConfigRecord):
            yield from ((key, str(value)) for key, value in record.items())
        else:
            yield id(record)
