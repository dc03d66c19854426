from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.errors import SchemaError
from server.exchange import Clock, Exchange
from server.roster import connected, find_sites, refreshed, unambiguous


@dataclass(frozen=True)
class Node:
    node_id: int
    name: str = ""


@dataclass(frozen=True)
class About:
    reply_to_message_id: str


@dataclass(frozen=True)
class Card:
    """A query to a node, and what it says its name is."""

    node: int
    id: str = ""
    name: str | None = None

    @property
    def metadata(self) -> About:
        return About(self.id)


@dataclass
class Town:
    """A grid on virtual time: `nodes` connect at their second, and say `says[node]` (nothing: never answer)."""

    nodes: dict[float, list[Node]]
    says: dict[int, str | None] = field(default_factory=dict)
    seconds: float = 0.0
    sent: dict[str, int] = field(default_factory=dict)

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def get_nodes(self) -> Iterable[Any]:
        return [node for since, nodes in self.nodes.items() if since <= self.seconds for node in nodes]

    def push_messages(self, messages: Iterable[Card]) -> Iterable[str]:
        new = {f"q{m.node}": m.node for m in messages}
        self.sent |= new
        return list(new)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Card]:
        here = [i for i in message_ids if self.sent[i] in self.says]
        return [Card(self.sent[i], i, self.says[self.sent[i]]) for i in here]


def name_of(card: Card) -> str:
    if card.name is None:
        raise SchemaError("no name")
    return card.name


def found(town: Town, expected: list[str], deadline_s: float | None) -> dict[str, int]:
    exchange = Exchange(town, Clock(now=lambda: town.seconds, wait=town.wait))
    return dict(find_sites(exchange, expected, query=Card, name_of=name_of, deadline_s=deadline_s))


def test_registered_names_need_no_query() -> None:
    town = Town({0.0: [Node(7, "south"), Node(3, "north"), Node(9, "stranger")]})
    assert found(town, ["north", "south"], None) == {"north": 3, "south": 7}
    assert town.sent == {}


def test_nodes_without_names_are_asked_each_once() -> None:
    town = Town({0.0: [Node(7), Node(3)], 5.0: [Node(4)]}, says={7: "south", 3: "north", 4: "east"})
    assert found(town, ["north", "south", "east"], 60.0) == {"north": 3, "south": 7, "east": 4}
    assert 5.0 <= town.seconds < 6.0
    assert sorted(town.sent) == ["q3", "q4", "q7"]


def test_a_nameless_node_cannot_take_a_registered_name() -> None:
    town = Town({0.0: [Node(7, "south"), Node(3), Node(4)]}, says={3: "south", 4: "north"})
    assert found(town, ["north", "south"], None) == {"north": 4, "south": 7}
    assert sorted(town.sent) == ["q3", "q4"]


def test_the_deadline_ends_the_waiting_for_who_stays_away_or_says_nothing() -> None:
    town = Town({0.0: [Node(7), Node(3), Node(5)]}, says={7: "south", 3: None})
    assert found(town, ["north", "south"], 10.0) == {"south": 7}
    assert 10.0 <= town.seconds < 12.0


def test_a_silent_stranger_does_not_hold_up_the_others() -> None:
    town = Town({0.0: [Node(7), Node(5)]}, says={7: "south"})
    assert found(town, ["south"], 600.0) == {"south": 7}
    assert town.seconds < 2.0


def test_a_site_that_connects_later_is_taken_in() -> None:
    town = Town({0.0: [Node(7, "south")], 100.0: [Node(3, "north")]})
    exchange: Exchange[Card] = Exchange(town, Clock(now=lambda: town.seconds, wait=town.wait))
    roster = {"south": 7}
    assert refreshed(exchange, roster, ["north", "south"]) == {"south": 7}
    town.seconds = 100.0
    assert refreshed(exchange, roster, ["north", "south"]) == {"north": 3, "south": 7}


def test_who_is_connected_now_is_seen_in_a_roster_that_is_whole() -> None:
    town = Town({0.0: [Node(7, "south"), Node(9, "stranger")]})
    exchange = Exchange(town, Clock(now=lambda: town.seconds, wait=town.wait))
    whole = {"north": 3, "south": 7}
    assert connected(exchange, whole, ["north", "south"]) == {"south": 7}
    town.nodes = {0.0: []}
    assert connected(exchange, whole, ["north", "south"]) == {}
    town.nodes = {0.0: [Node(7)]}  # a simulation's: who it is was asked once
    assert connected(exchange, whole, ["north", "south"]) == whole


@given(st.dictionaries(st.integers(1, 30), st.sampled_from("abcd"), max_size=12), st.sets(st.sampled_from("abcx")))
def test_a_name_that_two_nodes_claim_is_nobodys(claims: dict[int, str], expected: set[str]) -> None:
    roster = unambiguous(claims, expected)
    for name in expected:
        nodes = [node for node, claimed in claims.items() if claimed == name]
        assert roster.get(name) == (nodes[0] if len(nodes) == 1 else None)
    assert set(roster) <= expected


def test_on_real_sites_a_node_without_a_registered_name_is_no_site() -> None:
    town = Town({0.0: [Node(1, "north"), Node(9)]}, says={9: "south"})
    exchange = Exchange(town, Clock(now=lambda: town.seconds, wait=town.wait))

    found = find_sites(exchange, ["north", "south"], query=None, name_of=name_of, deadline_s=5.0)

    assert dict(found) == {"north": 1}
    assert town.sent == {}
