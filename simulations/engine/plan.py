"""Which clients are trained as one group: a function of their work and of what is recorded, never of the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """How a run trains its clients; part of what fixes its bytes, since sums are rounded by how they are grouped.

    workers: groups that are trained side by side. clients: the most in one group; with 1 they are trained one after the
    other, as a hospital trains.
    """

    workers: int = 1
    clients: int = 1


ONE_BY_ONE = Shape()


@dataclass(frozen=True)
class Wanted:
    """What a user asks for of a `Shape`; None: as suits the machine and the rows.

    apart: workers are processes, which do not wait for each other's Python.
    """

    workers: int | None = None
    clients: int | None = None
    apart: bool = False


AS_SUITS = Wanted()


def plan_groups(work: Mapping[str, int], shape: Shape) -> list[tuple[str, ...]]:
    """Return the groups, longest first: every client is in one, none has more than `shape.clients`.

    As long as one group for each worker holds all, each client goes to the group that has least to do yet, the longest
    clients first (Graham 1969, doi 10.1137/0117039). Else clients of like length are together, so that a group stays
    full until its end.

    >>> plan_groups({"a": 9, "b": 8, "c": 3, "d": 1}, Shape(workers=2, clients=4))
    [('b', 'c'), ('a', 'd')]
    >>> plan_groups({"a": 9, "b": 1, "c": 9, "d": 1, "e": 1}, Shape(workers=1, clients=2))
    [('a', 'c'), ('b', 'd'), ('e',)]
    """
    longest_first = sorted(work, key=lambda name: (-work[name], name))
    size = shape.clients
    if len(work) > shape.workers * size:
        return [tuple(longest_first[i : i + size]) for i in range(0, len(longest_first), size)]
    groups: list[list[str]] = [[] for _ in range(min(shape.workers, len(work)))]
    for name in longest_first:
        open_ones = [group for group in groups if len(group) < size]
        min(open_ones, key=lambda group: sum(work[each] for each in group)).append(name)
    groups.sort(key=lambda group: (-sum(work[each] for each in group), group))
    return [tuple(group) for group in groups]
