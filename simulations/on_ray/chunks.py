"""Which sites are played together: chunks of a cohort, a call of a worker each.

What the sites of a chunk compute may be computed together, so chunks must be the same whenever a round is played: they
depend on the cohort, on the sites' rows and on the number of workers that the run began with, never on who is free.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Final

MOST: Final = 32
"""Sites of one chunk: a worker that dies has at most so many answered again."""
MOST_BYTES: Final = 64 << 20
"""Of what the sites of one chunk are sent, and answer, together."""


def cut(work: Sequence[int], *, workers: int, most: int = MOST) -> list[list[int]]:
    """Return the positions 0 to len(work) - 1 in chunks of about equal work, the heaviest first.

    As many chunks as workers, or, where these would be longer than `most`, a multiple of that, so that all workers
    end at about the same time. Each position goes to the lightest chunk so far, those of most work first: Graham
    (1969), Bounds on multiprocessing timing anomalies, https://doi.org/10.1137/0117039

    >>> cut([303, 294, 123, 200], workers=2)
    [[1, 3], [0, 2]]
    """
    if not work:
        return []
    turns = ceil(ceil(len(work) / most) / workers)
    count = min(len(work), turns * workers)
    loads, chunks = [(0, i) for i in range(count)], [list[int]() for _ in range(count)]
    heapify(loads)
    for position in sorted(range(len(work)), key=lambda i: (-work[i], i)):
        load, lightest = heappop(loads)
        chunks[lightest].append(position)
        if len(chunks[lightest]) < most:
            heappush(loads, (load + work[position] + 1, lightest))
    weight = [sum(work[i] + 1 for i in chunk) for chunk in chunks]
    return [sorted(chunks[i]) for i in sorted(range(count), key=lambda i: (-weight[i], i))]


def most_sites(sent_bytes: int) -> int:
    """Return how many sites a chunk may have where each is sent so much, and answers about as much: 1 to `MOST`.

    >>> most_sites(300_000), most_sites(8 << 20), most_sites(1 << 30)
    (32, 8, 1)
    """
    return max(1, min(MOST, MOST_BYTES // max(sent_bytes, 1)))
