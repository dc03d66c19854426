"""Messages between the server's process and the workers', in what Ray moves without copying: texts and flat arrays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias  # a record's texts, Ray's references

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

Arrays: TypeAlias = dict[str, tuple[str, tuple[int, ...], str, NDArray[np.uint8]]]
"""An ArrayRecord: each array's dtype, shape, stype and bytes."""
Texts: TypeAlias = dict[str, Any]
"""A ConfigRecord."""


@dataclass(frozen=True)
class Letter:
    """One site's message; `number` is how its reply is known.

    arrays: by record, their positions among what is sent beside the letters.
    """

    number: int
    site: str
    kind: str
    group: str
    ttl_s: float
    texts: Mapping[str, Texts]
    arrays: Mapping[str, int]


@dataclass(frozen=True)
class Parcel:
    """The letters of one chunk, and what is sent beside them: references to arrays that letters have in common."""

    letters: tuple[Letter, ...]
    beside: tuple[Any, ...]


@dataclass(frozen=True)
class Answered:
    """A reply, known by the number of its letter; no records where the site's app failed."""

    number: int
    texts: Mapping[str, Texts]
    arrays: Mapping[str, Arrays]

    @property
    def content(self) -> RecordDict | None:
        """The reply's content."""
        if not self.texts and not self.arrays:
            return None
        return _content(self.texts, {name: _record(arrays) for name, arrays in self.arrays.items()})


@dataclass(frozen=True)
class Sent:
    """A message on its way to a site."""

    number: int
    site: str
    message: Message


def parcels(sent: Sequence[Sent], chunks: Sequence[Sequence[int]], share: Callable[[Arrays], Any]) -> Iterator[Parcel]:
    """Yield a parcel for each chunk of positions in `sent`.

    share: puts arrays where every worker can read them and returns a reference. It is called once for each record, in
    however many messages that is: those of a round have the adapter in common.
    """
    shared: dict[int, Any] = {}  # by identity: while `sent` has them all, no two have the same
    for chunk in chunks:
        beside: dict[int, int] = {}
        letters = []
        for each in (sent[i] for i in chunk):
            for record in _arrays_of(each.message).values():
                if id(record) not in shared:
                    shared[id(record)] = share(_packed(record))
                beside.setdefault(id(record), len(beside))
            letters.append(_letter(each, beside))
        yield Parcel(tuple(letters), tuple(shared[record] for record in beside))


def _letter(sent: Sent, beside: Mapping[int, int]) -> Letter:
    about = sent.message.metadata
    arrays = {name: beside[id(record)] for name, record in _arrays_of(sent.message).items()}
    texts = _texts_of(sent.message.content)
    return Letter(sent.number, sent.site, about.message_type, about.group_id, about.ttl, texts, arrays)


def records_of(beside: Sequence[Arrays]) -> list[ArrayRecord]:
    """Return what came beside letters as records, made once for all of them."""
    return [_record(arrays) for arrays in beside]


def message_of(letter: Letter, records: Sequence[ArrayRecord], *, node: int) -> Message:
    """Return the message of a letter, to `node`. records: `records_of` what came beside it."""
    content = _content(letter.texts, {name: records[position] for name, position in letter.arrays.items()})
    return Message(content, dst_node_id=node, message_type=letter.kind, ttl=letter.ttl_s, group_id=letter.group)


def answered(number: int, reply: Message) -> Answered:
    """Return a reply as it is sent back."""
    if not reply.has_content():
        return Answered(number, {}, {})
    arrays = {name: _packed(record) for name, record in _arrays_of(reply).items()}
    return Answered(number, _texts_of(reply.content), arrays)


def _arrays_of(message: Message) -> dict[str, ArrayRecord]:
    return {name: record for name, record in message.content.items() if isinstance(record, ArrayRecord)}


def _texts_of(content: RecordDict) -> dict[str, Texts]:
    return {name: dict(record) for name, record in content.items() if isinstance(record, ConfigRecord)}


def _packed(record: ArrayRecord) -> Arrays:
    return {key: (a.dtype, tuple(a.shape), a.stype, np.frombuffer(a.data, np.uint8)) for key, a in record.items()}


def _content(texts: Mapping[str, Texts], records: Mapping[str, ArrayRecord]) -> RecordDict:
    content = RecordDict({name: ConfigRecord(text) for name, text in texts.items()})
    content.update(records)
    return content


def _record(arrays: Arrays) -> ArrayRecord:
    return ArrayRecord(
        {key: Array(dtype, shape, kind, data.tobytes()) for key, (dtype, shape, kind, data) in arrays.items()}
    )
