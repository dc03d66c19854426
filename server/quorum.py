"""How many accepted replies make a round."""

from math import ceil


def needed_replies(quorum: float, cohort_size: int) -> int:
    """Return ceil(quorum * cohort size), at least 1.

    The product is rounded to 9 decimals first, so that 0.1 * 30 (3.0000000000000004 in floating point) needs 3.

    >>> needed_replies(0.5, 5), needed_replies(0.1, 30), needed_replies(0.01, 4)
    (3, 3, 1)
    """
    return max(1, ceil(round(quorum * cohort_size, 9)))
