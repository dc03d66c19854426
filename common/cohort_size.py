"""How many sites are asked in a round: a number that both sides know beforehand."""


def cohort_size(sites: int, fraction: float) -> int:
    """Return round(fraction * sites), at least 1.

    >>> cohort_size(10, 1.0), cohort_size(10, 0.25), cohort_size(3, 0.1)
    (10, 2, 1)
    """
    return max(1, round(fraction * sites))
