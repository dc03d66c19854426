"""Flower's grid over HTTP as the rounds need it: nodes known by their registered keys, pulls that hold up nobody.

`pull_messages` of Flower blocks until the last object of a reply is there, for minutes where an upload has stalled, and
for every site whose id was given along. So each message that is on its way has a thread of its own that looks for its
reply; the rounds take what has come, and keep their deadline.

Flower takes all that a reply says of itself from what its site has written, the message that it answers too. So a reply
is known by the id that it was fetched for, and one that names another is dropped.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar  # a node's record is Flower's

import httpx

from server.exchange import Letter

LOG = logging.getLogger("fedpeft.server")

M = TypeVar("M", bound=Letter)
POLL_S = 0.2
"""Over HTTP each look for replies takes the SuperLink some 50 ms."""


class FlowerGrid(Protocol[M]):
    """The part of Flower's grid that is used."""

    def get_nodes(self) -> Iterable[Any]:
        """Return the connected nodes: `node_id` and `public_key`."""
        ...

    def push_messages(self, messages: Iterable[M]) -> Iterable[str | None]:
        """Send messages; return their ids, None for one that was not taken."""
        ...

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[M]:
        """Return the replies that have arrived, each once."""
        ...


@dataclass(frozen=True)
class Node:
    """A connected node and the enrolled site whose key it has; an empty name is nobody's."""

    node_id: int
    name: str


@dataclass
class RegisteredGrid(Generic[M]):
    """One run's way to the enrolled sites.

    site_of_key: returns {public key: site} as it is now: a site that is revoked is gone at the next look.
    """

    grid: FlowerGrid[M]
    site_of_key: Callable[[], Mapping[bytes, str]]
    poll_s: float = POLL_S
    _arrived: SimpleQueue[tuple[str, M] | BaseException] = field(default_factory=SimpleQueue)
    _awaited: set[str] = field(default_factory=set)
    _ready: dict[str, M] = field(default_factory=dict)
    _closed: Event = field(default_factory=Event)

    def get_nodes(self) -> list[Node]:
        """Return the connected nodes whose key is enrolled; a node is never believed who it is."""
        sites = self.site_of_key()
        return [
            Node(node.node_id, sites[key])
            for node in self.grid.get_nodes()
            if (key := bytes(node.public_key).strip()) in sites
        ]

    def push_messages(self, messages: Iterable[M]) -> list[str]:
        """Send messages and begin to look for their replies; return the ids of those that were taken."""
        ids = [taken for taken in self.grid.push_messages(list(messages)) if taken]
        self._awaited.update(ids)
        for each in ids:
            Thread(target=self._watch, args=(each,), name=f"reply to {each[:8]}", daemon=True).start()
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[M]:
        """Return those replies that have arrived, without waiting; a link or run that is gone is raised here.

        A reply whose objects cannot be put together is its site's fault alone: it never arrives. The replies are let
        go one at a time, each when it is taken from what is returned.
        """
        self._take_arrived()
        ready = [each for each in dict.fromkeys(message_ids) if each in self._ready]
        self._awaited.difference_update(ready)
        return (self._ready.pop(each) for each in ready if each in self._ready)

    def _take_arrived(self) -> None:
        with suppress(Empty):
            while True:
                found = self._arrived.get_nowait()
                if isinstance(found, BaseException):
                    raise found
                message_id, reply = found
                if message_id in self._awaited:
                    self._ready[message_id] = reply

    def forget(self, message_ids: Iterable[str]) -> None:
        """Look no longer for the replies to these messages, and keep none of them."""
        for each in message_ids:
            self._awaited.discard(each)
            self._ready.pop(each, None)

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _watch(self, message_id: str) -> None:
        with ExitStack() as stack:
            # Failures of any kind: a thread that ends without a word leaves a site late for no reason that is known.
            stack.push(self._failed)
            while message_id in self._awaited and not self._closed.is_set():
                for reply in self.grid.pull_messages([message_id]):
                    self._take(message_id, reply)
                    return
                self._closed.wait(self.poll_s)

    def _take(self, message_id: str, reply: M) -> None:
        if reply.metadata.reply_to_message_id == message_id:
            self._arrived.put((message_id, reply))
        else:
            LOG.warning("a reply names another message than the one it answers: its site is late")

    def _failed(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        """Hand on what ends the run, log what is one site's alone; its text may be the site's, and is not told."""
        if isinstance(error, OSError | httpx.HTTPError) or not isinstance(error, Exception | None):
            self._arrived.put(error)
        elif error is not None:
            LOG.warning("a reply cannot be read (%s): its site is late", type(error).__name__)
        return True
