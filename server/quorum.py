"""How many accepted replies make a round."""

from math import ceil


def needed_replies(quorum: float, cohort_size: int) -> int:
    """Return ceil(quorum * cohort size), at least 1.

    The product is rounded to 9 decimals first, so that 0.07 * 100 (7.000000000000001 in floating point) needs 7.

    >>> needed_replies(0.5, 5), needed_replies(0.07, 100), needed_replies(0.01, 4)
    (3, 7, 1)
    """
    return max(1, ceil(round(quorum * cohort_size, 9)))
