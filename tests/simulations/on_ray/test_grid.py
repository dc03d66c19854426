"""The grid over players of this process: who plays what, what is shared, and which replies come back."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

import pytest
from flwr.app import ArrayRecord, Message

from common import wire
from common.failures import word_of
from server.exchange import SYSTEM_CLOCK, Exchange
from simulations.engine.plan import Shape
from simulations.engine.room import MOST_CLIENTS
from simulations.on_ray.grid import RayGrid
from simulations.on_ray.letters import Answered, Arrays, Parcel

WORK = {f"site-{i:02d}": 10 + 7 * i % 40 for i in range(20)}


@dataclass
class Echoes:
    """Players whose sites answer with their names, in any order, some at a time; `doubled`: every reply twice."""

    rng: Random = field(default_factory=Random)
    doubled: bool = False
    failing: str = ""
    shared: list[Arrays] = field(default_factory=list)
    given: list[list[Parcel]] = field(default_factory=list)
    ready: list[Answered] = field(default_factory=list)

    def share(self, arrays: Arrays) -> int:
        self.shared.append(arrays)
        return len(self.shared)

    def give(self, parcels: Iterable[Parcel]) -> None:
        self.given.append(list(parcels))
        for parcel in self.given[-1]:
            replies = [self._reply(letter.number, letter.site) for letter in parcel.letters]
            self.ready += replies * (2 if self.doubled else 1)
        self.rng.shuffle(self.ready)

    def _reply(self, number: int, site: str) -> Answered:
        return Answered(number, {} if site == self.failing else {"name": {"name": site}}, {})

    def take(self, patience_s: float) -> Sequence[Answered]:
        taken = list(islice(self.ready, self.rng.randint(0, 4)))
        self.ready = self.ready[len(taken) :]
        return taken

    def chunks(self) -> list[list[str]]:
        return [[letter.site for letter in parcel.letters] for parcel in self.given[-1]]


Make = Callable[..., Message]


def ask(
    grid: RayGrid, message: Make, adapter: ArrayRecord, nodes: Sequence[int], number: int = 3
) -> dict[str, Message]:
    """Play a round as the server does; return the reply of each site."""
    names = {node.node_id: node.name for node in grid.get_nodes()}
    exchange: Exchange[Any] = Exchange(grid, SYSTEM_CLOCK, poll_s=0.0)
    for node in nodes:
        assert exchange.push(names[node], number, message(node, adapter=adapter))
    replies = [(arrival.site, arrival.reply) for arrival in exchange.collect(number, None)]
    assert len(replies) == len(nodes)
    return dict(replies)


def nodes_of(grid: RayGrid) -> list[int]:
    return [node.node_id for node in grid.get_nodes()]


@pytest.mark.parametrize("doubled", [False, True])
def test_every_site_answers_its_own_message_once(message: Make, adapter: Callable[..., Any], doubled: bool) -> None:
    """Also where a chunk was played twice, since the worker that played it first died after some replies."""
    grid = RayGrid(Echoes(doubled=doubled), WORK, Shape(3, MOST_CLIENTS))
    replies = ask(grid, message, adapter(40), nodes_of(grid))
    assert {site: wire.decode_name(reply.content) for site, reply in replies.items()} == {s: s for s in WORK}


def test_chunks_are_the_cohort_whatever_the_order_of_its_messages(message: Make, adapter: Callable[..., Any]) -> None:
    found = []
    for order in range(5):
        players = Echoes()
        grid = RayGrid(players, WORK, Shape(3, MOST_CLIENTS))
        nodes = nodes_of(grid)[2:15]
        Random(order).shuffle(nodes)
        ask(grid, message, adapter(40), nodes)
        found.append(players.chunks())
    assert sorted(site for chunk in found[0] for site in chunk) == sorted(WORK)[2:15]
    assert all(chunks == found[0] for chunks in found)


def test_the_adapter_is_shared_once_per_round(message: Make, adapter: Callable[..., Any]) -> None:
    players = Echoes()
    grid = RayGrid(players, WORK, Shape(3, MOST_CLIENTS))
    for number in (1, 2, 3):
        ask(grid, message, adapter(40), nodes_of(grid), number)
        assert len(players.shared) == len(players.given) == number


def test_one_worker_and_more_workers_than_sites(message: Make, adapter: Callable[..., Any]) -> None:
    for workers, chunks in ((1, 1), (50, len(WORK))):
        players = Echoes()
        grid = RayGrid(players, WORK, Shape(workers, MOST_CLIENTS))
        assert len(ask(grid, message, adapter(40), nodes_of(grid))) == len(WORK)
        assert len(players.chunks()) == chunks


def test_large_adapters_make_short_chunks(message: Make, adapter: Callable[..., Any]) -> None:
    players = Echoes()
    grid = RayGrid(players, WORK, Shape(1, MOST_CLIENTS))
    ask(grid, message, adapter(16 << 20), nodes_of(grid))
    assert max(len(chunk) for chunk in players.chunks()) == 3  # 4 of 16 MiB and their heads are more than 64 MiB


def test_an_app_that_fails_is_an_error_of_its_site_alone(message: Make, adapter: Callable[..., Any]) -> None:
    grid = RayGrid(Echoes(failing="site-04"), WORK, Shape(2, MOST_CLIENTS))
    replies = ask(grid, message, adapter(40), nodes_of(grid))
    assert [site for site, reply in replies.items() if wire.failure_of(reply)] == ["site-04"]
    assert wire.failure_of(replies["site-04"]) == word_of(replies["site-04"].error.code)


def test_only_replies_that_are_asked_for_are_returned_and_the_others_kept(message: Make) -> None:
    grid = RayGrid(Echoes(), WORK, Shape(2, MOST_CLIENTS))
    first, second, *_ = grid.push_messages([message(node) for node in nodes_of(grid)[:2]])
    found: list[Message] = []
    for wanted in (second, first):
        while not (got := list(grid.pull_messages([wanted]))):
            pass
        found += got
    assert [reply.metadata.reply_to_message_id for reply in found] == [second, first]
    assert list(grid.pull_messages([first, second])) == []


def test_a_reply_that_comes_twice_is_kept_once(message: Make) -> None:
    players = Echoes(doubled=True)
    grid = RayGrid(players, WORK, Shape(2, MOST_CLIENTS))
    ids = list(grid.push_messages([message(node) for node in nodes_of(grid)]))
    found = [reply for _ in range(200) for reply in grid.pull_messages(ids)]
    assert sorted(reply.metadata.reply_to_message_id for reply in found) == sorted(ids)


def test_a_grid_that_was_asked_nothing_waits_for_nothing() -> None:
    class Deaf(Echoes):
        def take(self, patience_s: float) -> Sequence[Answered]:
            raise AssertionError("nobody plays")

    assert list(RayGrid(Deaf(), WORK, Shape(2, MOST_CLIENTS)).pull_messages(["7"])) == []
