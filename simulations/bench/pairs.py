"""Ratios of things that were measured in turns: what slows a shared machine down slows both of a pair down."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True)
class Ratio:
    """Of the pairs: the median, the least and the most."""

    median: float
    least: float
    most: float

    def figures(self, name: str) -> dict[str, float]:
        """Return the three under a name, as the bench prints them."""
        return {name: self.median, f"{name}{LEAST}": self.least, f"{name}{MOST}": self.most}


LEAST, MOST = "_least", "_most"


def paired(one: Sequence[float], other: Sequence[float]) -> Ratio:
    """Return one over other, turn by turn.

    >>> paired([2.0, 9.0, 4.0], [1.0, 3.0, 1.0])
    Ratio(median=3.0, least=2.0, most=4.0)
    """
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def in_turns(works: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Return the seconds of each work in each turn, after one turn of all that does not count.

    Every other turn goes the other way round, so that none is always right behind the same.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(turns + 1):
        for name in list(works) if turn % 2 else reversed(list(works)):
            begin = perf_counter()
            works[name]()
            if turn:
                seconds[name].append(perf_counter() - begin)
    return seconds


def pays_after(once: float, *, before: float, after: float) -> float:
    """Return after how many rounds it has paid to spend `once` so that a round takes `after` instead of `before`.

    All in seconds; infinity where a round is not faster.

    >>> pays_after(30.0, before=5.0, after=4.0), pays_after(30.0, before=5.0, after=5.5)
    (30.0, inf)
    """
    return once / (before - after) if after < before else math.inf
