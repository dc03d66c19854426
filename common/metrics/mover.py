"""The interval of a weighted mean of independent estimates, from their own intervals: MOVER.

Zou and Donner 2008, https://doi.org/10.1002/sim.3095. The estimates of sites are independent: no patient is at two.
"""

from collections.abc import Sequence

import numpy as np


def in_quadrature(shares: Sequence[float], values: Sequence[float], ends: Sequence[float]) -> float:
    """Return how far the interval of sum(shares * values) reaches on one side: the root of the summed squares.

    ends: the lower ends of the estimates' own intervals, or the upper ones; each (k,).

    >>> in_quadrature([0.5, 0.5], [0.7, 0.9], [0.1, 0.1])
    0.5
    """
    return float(np.linalg.norm(np.multiply(shares, np.subtract(ends, values))))
