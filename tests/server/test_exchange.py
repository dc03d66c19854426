"""The deadline, on a grid and a clock that need no time."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from server.exchange import Clock, Exchange


@dataclass(frozen=True)
class About:
    reply_to_message_id: str


@dataclass(frozen=True)
class Note:
    """A message and its answer in one: `after` seconds it comes back."""

    name: str
    after: float = 0.0
    id: str = ""

    @property
    def metadata(self) -> About:
        return About(self.id)


@dataclass
class Post:
    """A grid on virtual time. `skips` are taken by nobody, `strays` come back that nobody asked for."""

    seconds: float = 0.0
    skips: tuple[str, ...] = ()
    sent: dict[str, tuple[float, Note]] = field(default_factory=dict)
    strays: list[Note] = field(default_factory=list)
    pulls: list[set[str]] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def get_nodes(self) -> Iterable[Any]:
        return []

    def push_messages(self, messages: Iterable[Note]) -> Iterable[str]:
        taken = [m for m in messages if m.name not in self.skips]
        for message in taken:
            self.sent[f"id-{message.name}-{len(self.sent)}"] = (self.seconds + message.after, message)
        return list(self.sent)[-len(taken) :] if taken else []

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Note]:
        self.pulls.append(set(message_ids))
        ready = [i for i in self.pulls[-1] if i in self.sent and self.sent[i][0] <= self.seconds]
        strays, self.strays = self.strays, []
        return [Note(self.sent.pop(i)[1].name, id=i) for i in sorted(ready)] + strays


@dataclass
class KeenPost(Post):
    """One that looks for replies of itself."""

    forgotten: list[str] = field(default_factory=list)

    def forget(self, message_ids: Iterable[str]) -> None:
        self.forgotten += message_ids


@dataclass
class WatchedPost(Post):
    """One that hands over replies one at a time, and notes how many of the ones before are still held by someone."""

    given: list[ref[Note]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        super().wait(seconds)
        self._look()

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Note]:
        for each in sorted(i for i in message_ids if i in self.sent and self.sent[i][0] <= self.seconds):
            self._look()
            yield self._given(Note(self.sent.pop(each)[1].name, id=each))

    def _given(self, note: Note) -> Note:
        self.given.append(ref(note))
        return note

    def _look(self) -> None:
        self.kept.append(sum(each() is not None for each in self.given))


def made(post: Post) -> Exchange[Note]:
    return Exchange(post, Clock(now=lambda: post.seconds, wait=post.wait), poll_s=1.0)


def test_replies_come_as_they_arrive_with_their_seconds() -> None:
    post = Post()
    exchange = made(post)
    for name, after in (("slow", 3.0), ("quick", 1.0)):
        assert exchange.push(name, 1, Note(name, after))
    arrivals = [(a.site, a.seconds) for a in exchange.collect(1, 10.0)]
    assert arrivals == [("quick", 1.0), ("slow", 3.0)]
    assert exchange.waiting() == frozenset()
    assert post.seconds == 3.0


def test_the_deadline_ends_the_waiting_and_the_late_site_stays_busy_until_it_answered() -> None:
    post = Post()
    exchange = made(post)
    exchange.push("late", 1, Note("late", 25.0))
    exchange.push("good", 1, Note("good", 2.0))
    assert [a.site for a in exchange.collect(1, 10.0)] == ["good"]
    assert post.seconds == 10.0
    assert exchange.waiting() == exchange.waiting(1) == {"late"}
    assert list(exchange.take_late(2)) == []
    assert exchange.waiting() == {"late"}
    assert exchange.waiting(2) == frozenset()
    post.seconds = 26.0
    assert [(a.site, a.round) for a in exchange.take_late(2)] == [("late", 1)]
    assert exchange.waiting() == frozenset()


def test_replies_of_earlier_rounds_are_pulled_once_per_round_and_not_handed_on() -> None:
    post = Post()
    exchange = made(post)
    exchange.push("late", 1, Note("late", 5.0))
    assert list(exchange.collect(1, 1.0)) == []
    exchange.push("good", 2, Note("good", 0.0))
    asked = len(post.pulls)
    post.seconds = 6.0
    assert [a.site for a in exchange.take_late(2)] == ["late"]
    assert len(post.pulls) == asked + 1
    assert [a.site for a in exchange.collect(2, None)] == ["good"]


def test_without_a_deadline_every_reply_is_waited_for() -> None:
    post = Post()
    exchange = made(post)
    exchange.push("slow", 1, Note("slow", 10_000.0))
    assert [a.site for a in exchange.collect(1, None)] == ["slow"]


def test_a_message_that_the_transport_skips_is_told_at_once() -> None:
    post = Post(skips=("gone",))
    exchange = made(post)
    assert not exchange.push("gone", 1, Note("gone"))
    assert exchange.push("here", 1, Note("here"))
    assert [a.site for a in exchange.collect(1, None)] == ["here"]


def test_a_reply_to_a_message_that_was_never_sent_is_dropped() -> None:
    post = Post(strays=[Note("nobody", id="forged")])
    exchange = made(post)
    exchange.push("here", 1, Note("here"))
    assert [a.site for a in exchange.collect(1, None)] == ["here"]


def test_the_first_answer_to_a_question_asked_twice_is_the_only_one_and_no_lost_message_is_waited_for() -> None:
    post = Post()
    exchange = made(post)
    exchange.push("site", 1, Note("lost", 10_000.0))
    assert list(exchange.collect(1, 5.0)) == []
    exchange.push("site", 1, Note("again", 2.0))
    assert [(a.reply.name, a.seconds) for a in exchange.collect(1, 100.0)] == [("again", 2.0)]
    assert post.seconds == 7.0
    assert exchange.waiting() == frozenset()
    post.seconds = 20_000.0
    assert list(exchange.take_late(2)) == []


def test_no_reply_is_kept_while_the_next_is_waited_for_or_taken() -> None:
    post = WatchedPost()
    exchange = made(post)
    for index, name in enumerate(["one", "two", "three"]):
        exchange.push(name, 1, Note(name, float(index // 2)))
    found = []
    for arrival in exchange.collect(1, 10.0):
        found.append(arrival.site)
        del arrival
    assert found == ["one", "two", "three"]
    assert post.kept == [0] * len(post.kept)
    assert len(post.kept) > len(found)


def test_a_grid_is_told_which_messages_are_awaited_no_more() -> None:
    post = KeenPost()
    exchange = made(post)
    exchange.push("site", 1, Note("lost", 10_000.0))
    exchange.push("other", 1, Note("other", 10_000.0))
    exchange.push("site", 1, Note("again", 2.0))
    assert [a.reply.name for a in exchange.collect(1, 5.0)] == ["again"]
    assert post.forgotten == ["id-lost-0"]
    assert exchange.waiting() == {"other"}


def test_both_answers_to_a_question_at_once_are_one() -> None:
    post = Post()
    exchange = made(post)
    exchange.push("site", 1, Note("first", 3.0))
    exchange.push("site", 1, Note("second", 3.0))
    assert [a.reply.name for a in exchange.collect(1, 100.0)] == ["first"]


def test_a_message_that_is_old_keeps_its_site_no_longer() -> None:
    post = Post()
    exchange = made(post)
    exchange.push("site", 1, Note("lost", 10_000.0))
    post.seconds = 10.0
    assert exchange.waiting(since_s=10.5) == {"site"}
    assert exchange.waiting(since_s=10.0) == frozenset()
    assert exchange.waiting() == {"site"}  # a late answer is still taken in
