"""The grid of real sites, over a fake transport: keys decide who is who, and one stalled upload delays nobody."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any
from weakref import ref

import httpx
import pytest

from server.registered_grid import Node, RegisteredGrid

PATIENCE_S = 10.0
SECRET = "PATIENT-ID-123"


@dataclass(frozen=True)
class FakeMetadata:
    reply_to_message_id: str


@dataclass(frozen=True)
class FakeReply:
    metadata: FakeMetadata


@dataclass(frozen=True)
class FakeNode:
    node_id: int
    public_key: bytes


@dataclass
class FakeTransport:
    """Replies to a message once its event is set; a pull of a stalled one blocks, as Flower's does."""

    nodes: list[FakeNode] = field(default_factory=list)
    answered: dict[str, Event] = field(default_factory=dict)
    stalled: set[str] = field(default_factory=set)
    broken: dict[str, BaseException] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    looks: Counter[str] = field(default_factory=Counter)
    given: list[ref[FakeReply]] = field(default_factory=list)
    refuses: bool = False
    release: Event = field(default_factory=Event)

    def get_nodes(self) -> list[FakeNode]:
        return self.nodes

    def push_messages(self, messages: Iterable[Any]) -> list[str | None]:
        ids = list(messages)
        for each in ids:
            self.answered.setdefault(each, Event())
        return [None if self.refuses else each for each in ids]

    def pull_messages(self, message_ids: Iterable[str]) -> list[FakeReply]:
        (only,) = message_ids  # one id a call: a stalled one must not be among others
        self.looks[only] += 1
        if only in self.broken:
            raise self.broken[only]
        if only in self.stalled:
            self.release.wait(PATIENCE_S)
        if not self.answered[only].is_set():
            return []
        reply = FakeReply(FakeMetadata(self.names.get(only, only)))
        self.given.append(ref(reply))
        return [reply]

    def kept(self) -> int:
        """How many of the replies that were given are still held by someone."""
        return sum(each() is not None for each in self.given)


def grid_of(transport: FakeTransport, sites: dict[bytes, str] | None = None) -> RegisteredGrid[Any]:
    return RegisteredGrid(transport, lambda: sites or {}, poll_s=0.01)


def wait_for(grid: RegisteredGrid[Any], ids: list[str], count: int) -> list[str]:
    found: list[str] = []
    end = monotonic() + PATIENCE_S
    while len(found) < count and monotonic() < end:
        found += [reply.metadata.reply_to_message_id for reply in grid.pull_messages(ids)]
        Event().wait(0.01)
    return sorted(found)


def test_a_node_is_the_site_whose_key_it_has_and_strangers_are_nobody() -> None:
    transport = FakeTransport(nodes=[FakeNode(7, b"key-n\n"), FakeNode(8, b"stranger"), FakeNode(9, b"key-s")])
    sites = {b"key-n": "north", b"key-s": "south"}
    grid = grid_of(transport, sites)
    assert grid.get_nodes() == [Node(7, "north"), Node(9, "south")]
    del sites[b"key-n"]  # revoked: gone at the next look
    assert grid.get_nodes() == [Node(9, "south")]


def test_a_stalled_reply_holds_up_no_other() -> None:
    transport = FakeTransport(stalled={"b"})
    grid = grid_of(transport)
    ids = grid.push_messages(["a", "b", "c"])
    assert ids == ["a", "b", "c"]
    for event in transport.answered.values():
        event.set()
    begin = monotonic()
    assert wait_for(grid, ids, 2) == ["a", "c"]
    assert list(grid.pull_messages(ids)) == []
    assert monotonic() - begin < PATIENCE_S / 2
    transport.release.set()
    assert wait_for(grid, ids, 1) == ["b"]
    grid.close()


def test_each_reply_comes_once_and_only_to_who_asks_for_it() -> None:
    transport = FakeTransport()
    grid = grid_of(transport)
    grid.push_messages(["a", "b"])
    for event in transport.answered.values():
        event.set()
    assert wait_for(grid, ["a"], 1) == ["a"]
    assert wait_for(grid, ["a", "b"], 1) == ["b"]
    assert list(grid.pull_messages(["a", "b"])) == []
    grid.close()


def test_a_message_that_was_not_taken_has_no_id() -> None:
    assert grid_of(FakeTransport(refuses=True)).push_messages(["a"]) == []


class RunIsOver(BaseException):
    """As Flower's `RunNotRunningException`, which is no Exception."""


@pytest.mark.parametrize(
    "error", [OSError("the link is gone"), httpx.ConnectError("the link is gone"), RunIsOver("the link is gone")]
)
def test_a_link_or_run_that_is_gone_reaches_the_rounds(error: BaseException) -> None:
    grid = grid_of(FakeTransport(broken={"a": error}))
    grid.push_messages(["a"])
    with pytest.raises(type(error), match="the link is gone"):
        wait_for(grid, ["a"], 1)


class DecodeError(Exception):
    """As protobuf's, which is a child of Exception alone."""


UNREADABLE = [ValueError(SECRET), KeyError(SECRET), MemoryError(), RuntimeError(SECRET), AttributeError(SECRET)]


@pytest.mark.parametrize("error", [*UNREADABLE, DecodeError(SECRET)])
def test_a_reply_that_cannot_be_put_together_is_late_with_a_word_in_the_log_and_stops_nobody(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "fedpeft.server")
    transport = FakeTransport(broken={"a": error})
    grid = grid_of(transport)
    grid.push_messages(["a", "b"])
    transport.answered["b"].set()
    assert wait_for(grid, ["a", "b"], 1) == ["b"]
    assert list(grid.pull_messages(["a"])) == []
    assert holds(lambda: type(error).__name__ in caplog.text)
    assert SECRET not in caplog.text
    grid.close()


def holds(statement: Callable[[], bool]) -> bool:
    """Whether it becomes true in time."""
    end = monotonic() + PATIENCE_S
    while not statement() and monotonic() < end:
        Event().wait(0.01)
    return statement()


def test_a_reply_that_names_the_message_to_another_site_is_not_that_site_s(caplog: pytest.LogCaptureFixture) -> None:
    transport = FakeTransport(names={"a": "b"})
    grid = grid_of(transport)
    grid.push_messages(["a", "b"])
    transport.answered["a"].set()
    assert holds(lambda: "names another message" in caplog.text)
    assert list(grid.pull_messages(["a", "b"])) == []
    transport.answered["b"].set()
    assert wait_for(grid, ["a", "b"], 1) == ["b"]
    grid.close()


def test_a_message_that_is_forgotten_is_looked_for_no_more_and_its_late_reply_is_not_kept() -> None:
    transport = FakeTransport(stalled={"b"})
    grid = grid_of(transport)
    grid.push_messages(["a", "b", "c"])
    assert holds(lambda: min(transport.looks[each] for each in "abc") > 0)
    transport.answered["b"].set()
    transport.answered["c"].set()
    assert wait_for(grid, ["c"], 1) == ["c"]
    grid.forget(["a", "b"])
    transport.release.set()  # the reply to b was on its way
    Event().wait(0.1)
    looks = transport.looks["a"]
    Event().wait(0.1)
    assert transport.looks["a"] == looks
    assert list(grid.pull_messages(["a", "b"])) == []
    assert len(transport.given) == 2
    assert holds(lambda: transport.kept() == 0)
    grid.close()


def test_a_reply_that_has_come_and_is_forgotten_is_not_kept() -> None:
    transport = FakeTransport()
    grid = grid_of(transport)
    grid.push_messages(["a"])
    transport.answered["a"].set()
    assert holds(lambda: len(transport.given) == 1)
    Event().wait(0.05)
    assert list(grid.pull_messages([])) == []
    assert transport.kept() == 1
    grid.forget(["a"])
    assert holds(lambda: transport.kept() == 0)
    assert list(grid.pull_messages(["a"])) == []
    grid.close()


def test_replies_are_let_go_one_at_a_time_as_they_are_taken() -> None:
    transport = FakeTransport()
    grid = grid_of(transport)
    ids = grid.push_messages(["a", "b", "c"])
    for event in transport.answered.values():
        event.set()
    assert holds(lambda: len(transport.given) == 3)
    Event().wait(0.05)
    left = []
    for reply in grid.pull_messages(ids):
        del reply
        left.append(transport.kept())
    assert left == [2, 1, 0]
    grid.close()
