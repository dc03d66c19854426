"""Messages out, replies in, with a deadline: all that the rounds know of the transport.

A reply is known by the message it answers, never by the node it claims to come from. A site with a message outstanding
is at work, and gets no question of another round; but a message may also be lost, with a SuperNode that was killed or a
link that was cut, so the same question may be asked again. The first answer of a site to a round is the only one.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable  # a node's record is Flower's


class Metadata(Protocol):
    """The part of a message's metadata that is used."""

    @property
    def reply_to_message_id(self) -> str:
        """Id of the message that this one answers."""
        ...


class Letter(Protocol):
    """The part of a Flower message that is used."""

    @property
    def metadata(self) -> Metadata:
        """Where it belongs."""
        ...


M = TypeVar("M", bound=Letter)


class Grid(Protocol[M]):
    """The part of Flower's `Grid` that is used."""

    def get_nodes(self) -> Iterable[Any]:
        """Return the connected nodes: `node_id`, and `name` where it is known."""
        ...

    def push_messages(self, messages: Iterable[M]) -> Iterable[str]:
        """Send messages; return the ids of those that were taken."""
        ...

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[M]:
        """Return the replies that have arrived, each once."""
        ...


@runtime_checkable
class Forgetful(Protocol):
    """A grid that looks for replies of itself, until they have come or it is told to forget them."""

    def forget(self, message_ids: Iterable[str]) -> None:
        """Look no longer for the replies to these messages, and keep none of them."""
        ...


@runtime_checkable
class Foretelling(Protocol):
    """A grid in virtual time, which knows when replies come, so that nobody has to look again and again."""

    def next_reply_s(self, message_ids: Iterable[str]) -> float:
        """Return when the first of the replies to these messages comes, by the clock; infinity where none does."""
        ...


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need none: seconds that only grow, a way to let some pass, and what a calendar says."""

    now: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep
    date: Callable[[], datetime] = lambda: datetime.now(UTC)


SYSTEM_CLOCK = Clock()


@dataclass(frozen=True)
class Sent:
    """A message on its way: to whom, for which round, when."""

    site: str
    round: int
    at: float


@dataclass(frozen=True)
class Arrival(Generic[M]):
    """A reply and what it answers: whose, and of which round; `seconds` since it was asked."""

    site: str
    round: int
    reply: M
    seconds: float


@dataclass
class _Outstanding:
    """Messages without an answer, by id, by round, and by what they ask whom: there may be thousands."""

    sent: dict[str, Sent] = field(default_factory=dict)
    by_round: dict[int, dict[str, None]] = field(default_factory=dict)
    by_question: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def add(self, message_id: str, sent: Sent) -> None:
        self.sent[message_id] = sent
        self.by_round.setdefault(sent.round, {})[message_id] = None
        self.by_question.setdefault((sent.site, sent.round), []).append(message_id)

    def of_round(self, round_number: int) -> Set[str]:
        return self.by_round.get(round_number, {}).keys()

    def take(self, message_id: str) -> tuple[Sent | None, list[str]]:
        """Take out what was answered, None where nobody waits for it, and the same question's other messages."""
        answered = self.sent.get(message_id)
        if answered is None:
            return None, []
        same = self.by_question.pop((answered.site, answered.round))
        for each in same:
            del self.sent[each], self.by_round[answered.round][each]
        return answered, [each for each in same if each != message_id]


class Exchange(Generic[M]):
    """The messages of one run that have no answer yet."""

    def __init__(self, grid: Grid[M], clock: Clock, poll_s: float = 0.02) -> None:
        self.grid = grid
        self.clock = clock
        self._poll_s = poll_s
        self._forgetful = grid if isinstance(grid, Forgetful) else None
        self._foretelling = grid if isinstance(grid, Foretelling) else None
        self._outstanding = _Outstanding()

    def waiting(self, round_number: int | None = None, *, since_s: float | None = None) -> frozenset[str]:
        """Return the sites that have not answered a message, of one round or of any, sent in the last `since_s`."""
        start = None if since_s is None else self.clock.now() - since_s
        return frozenset(
            sent.site
            for sent in self._outstanding.sent.values()
            if round_number in (None, sent.round) and (start is None or sent.at > start)
        )

    def push(self, site: str, round_number: int, message: M) -> bool:
        """Send one message; False where the transport does not take it.

        One at a time: a transport that skips a node returns fewer ids and does not say whose.
        """
        ids = list(self.grid.push_messages([message]))
        if len(ids) != 1:
            return False
        self._outstanding.add(ids[0], Sent(site, round_number, self.clock.now()))
        return True

    def collect(self, round_number: int, deadline_s: float | None) -> Iterator[Arrival[M]]:
        """Yield the replies to this round's messages as they come, until all are in or the deadline has passed.

        `deadline_s = None` waits until all are in: in process a handler cannot be interrupted, and a deadline would
        make the result depend on the speed of the machine.
        """
        end = None if deadline_s is None else self.clock.now() + deadline_s
        while ids := self._outstanding.of_round(round_number):
            before = len(ids)
            yield from self._pull(ids)  # no name is left that keeps a reply while the next is waited for
            if end is not None and self.clock.now() >= end:
                return
            if len(ids) == before:
                self.clock.wait(self._pause_s(ids, end))

    def _pause_s(self, ids: Set[str], end: float | None) -> float:
        """Return the seconds until it is worth to look again."""
        if self._foretelling is None:
            return self._poll_s
        reply = self._foretelling.next_reply_s(ids)
        return (reply if end is None else min(reply, end)) - self.clock.now()

    def take_late(self, round_number: int) -> Iterator[Arrival[M]]:
        """Yield the replies to messages of earlier rounds, which count no more: their sites are free again."""
        late = frozenset(i for i, sent in self._outstanding.sent.items() if sent.round < round_number)
        if late:
            yield from self._pull(late)

    def _pull(self, ids: Set[str]) -> Iterator[Arrival[M]]:
        for reply in self.grid.pull_messages(ids):
            sent, others = self._outstanding.take(reply.metadata.reply_to_message_id)
            if sent is not None:
                # No second answer is awaited to a question that was asked more than once.
                if self._forgetful is not None:
                    self._forgetful.forget(others)
                yield Arrival(sent.site, sent.round, reply, self.clock.now() - sent.at)
            del reply  # it is folded or spooled: the next may take its place
