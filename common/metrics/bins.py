"""The fixed bins of a score histogram: equal widths, refined towards 0 and 1 where a confident model piles up.

600 equal widths of probability, of which the first and the last are cut into halving octaves of 8 bins each, down to
2^-15 of a width (5e-8, what float32 resolves next to 1). All histograms share these bins, so that they add. The edges
k/15 (calibration error), k/10 (calibration curve) and 1/2 (the decision) are among them, so these lose nothing.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

WIDTHS: Final = 600
_OCTAVES: Final = 15
_PER_OCTAVE: Final = 8


def _edges() -> NDArray[np.float64]:
    tail = 2.0 ** (-np.arange(1, _OCTAVES * _PER_OCTAVE + 1)[::-1] / _PER_OCTAVE) / WIDTHS
    edges = np.concatenate([[0.0], tail, np.arange(1, WIDTHS) / WIDTHS, 1.0 - tail[::-1], [1.0]])
    edges.setflags(write=False)
    return edges


EDGES: Final = _edges()
"""(BINS + 1,) increasing, from 0 to 1. Bin b is (EDGES[b], EDGES[b + 1]]; the first bin also holds 0."""

BINS: Final = len(EDGES) - 1
"""Number of bins: 840."""


def bin_of(probabilities: NDArray[np.floating], edges: NDArray[np.float64] = EDGES) -> NDArray[np.int64]:
    """Return the bin of each probability; a value on an edge belongs to the bin below it.

    So 1/2 counts as not above 1/2, as argmax has it for two equal classes, which takes the first.

    >>> bin_of(np.array([0.0, 0.5, 0.6, 1.0]), np.array([0.0, 0.5, 1.0])).tolist()
    [0, 0, 1, 1]
    """
    return np.searchsorted(edges[1:-1], probabilities.astype(np.float64), side="left").astype(np.int64)


@cache
def equal_edges(bins: int) -> NDArray[np.float64]:
    """Return the edges of `bins` bins of equal width, read only; ValueError unless `bins` divides 600.

    The edges of other numbers are no EDGES.
    """
    if bins < 1 or WIDTHS % bins:
        raise ValueError(
            f"{bins} bins do not lie on the histogram's edges; take a divisor of {WIDTHS}, such as 10 or 15"
        )
    edges = np.arange(bins + 1) / bins
    edges.setflags(write=False)
    return edges


def first_bins(bins: int) -> NDArray[np.int64]:
    """Return, for each of `bins` bins of equal width, the index of the first fine bin inside it."""
    return np.searchsorted(EDGES, equal_edges(bins)[:-1]).astype(np.int64)
