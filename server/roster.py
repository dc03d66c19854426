"""Which node is which site: from the names that the coordinator registered, else from what the nodes say.

Names of a `Grid` that has them are those of registered public keys. A node without one (in a simulation, where node ids
are random and change with each run) is asked with a query. After this, everything is by site name.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar  # a node's record is Flower's

from common.errors import SchemaError
from server.exchange import Exchange, Letter

M = TypeVar("M", bound=Letter)

Roster = Mapping[str, int]
"""Node id of each connected site."""

_QUERY_ROUND = 0
_NODE = "node:"
"""Before a name that stands for a node; no site's name has a colon."""
_PATIENCE_S = 1.0
"""A node that never answers must not hold up the others, who are looked at again after this."""


def find_sites(
    exchange: Exchange[M],
    expected: Iterable[str],
    *,
    query: Callable[[int], M] | None,
    name_of: Callable[[M], str],
    deadline_s: float | None,
) -> Roster:
    """Wait until every expected site is connected or the deadline has passed; return those that are.

    Args:
        query: makes the message that asks a node for its name; None on real sites, where only a registered name counts:
            a node that says who it is could take the place of a site that is away.
        name_of: reads the answer; raises SchemaError.
        deadline_s: seconds; None looks once, for a grid where every node is there from the start.
    """
    wanted, start = frozenset(expected), exchange.clock.now()
    claims: dict[int, str] = {}
    while True:
        claims |= _names(exchange, claims, query, name_of, deadline_s)
        roster = unambiguous(claims, wanted)
        if len(roster) == len(wanted) or deadline_s is None or exchange.clock.now() - start >= deadline_s:
            return roster
        exchange.clock.wait(0.1)


def refreshed(exchange: Exchange[M], roster: Roster, expected: Iterable[str]) -> Roster:
    """Return `roster` with the registered sites that have connected since, without waiting for any."""
    wanted = frozenset(expected)
    if len(roster) == len(wanted):
        return roster
    named = {node.node_id: node.name for node in exchange.grid.get_nodes() if node.name}
    return {**roster, **unambiguous(named, wanted)}


def connected(exchange: Exchange[M], roster: Roster, expected: Iterable[str]) -> Roster:
    """Return the sites that are connected just now; all of `roster` where the nodes have no registered names."""
    nodes = list(exchange.grid.get_nodes())
    if not all(node.name for node in nodes):
        return roster
    return unambiguous({node.node_id: node.name for node in nodes}, expected)


def unambiguous(claims: Mapping[int, str], expected: Iterable[str]) -> Roster:
    """Return the expected sites that exactly one node claims to be, sorted by name.

    >>> unambiguous({7: "north", 9: "south", 4: "south", 5: "stranger"}, ["north", "south", "west"])
    {'north': 7}
    """
    counts = Counter(claims.values())
    wanted = frozenset(expected)
    found = {name: node for node, name in claims.items() if name in wanted and counts[name] == 1}
    return dict(sorted(found.items()))


def _names(
    exchange: Exchange[M],
    known: Mapping[int, str],
    query: Callable[[int], M] | None,
    name_of: Callable[[M], str],
    deadline_s: float | None,
) -> dict[int, str]:
    nodes: list[Any] = list(exchange.grid.get_nodes())
    registered = {node.node_id: node.name for node in nodes if node.name}
    if query is None:
        return registered
    for node in nodes:
        if node.name:
            continue
        key = f"{_NODE}{node.node_id}"
        if node.node_id not in known and key not in exchange.waiting(_QUERY_ROUND):
            exchange.push(key, _QUERY_ROUND, query(node.node_id))
    answers = exchange.collect(_QUERY_ROUND, None if deadline_s is None else _PATIENCE_S)
    names = ((int(answer.site.removeprefix(_NODE)), _name_or_none(answer.reply, name_of)) for answer in answers)
    # A node may claim a free name, never one that belongs to a registered key.
    taken = frozenset(registered.values())
    return {node: name for node, name in names if name is not None and name not in taken} | registered


def _name_or_none(reply: M, name_of: Callable[[M], str]) -> str | None:
    try:
        return name_of(reply)
    except SchemaError:
        return None
