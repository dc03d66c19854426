"""Counts of patients' rows as a page may show them: small ones hidden, and none to be told from the others.

Primary and complementary suppression as statistical offices do it (Hundepool et al. 2012, Statistical Disclosure
Control, chapter 4). Which others are hidden does not depend on their size, so that the rule tells nothing.
"""

from collections.abc import Mapping
from typing import Final

from client.dashboard.cells import count

SMALLEST: Final = 5
"""Counts from 1 to one less are hidden."""
SMALL: Final = f"<{SMALLEST}"
OTHER: Final = f"{SMALLEST} or more"
HIDDEN: Final = "hidden"


def shown(number: int) -> str:
    """Return a count, or that it is small; nobody is nobody.

    >>> shown(0), shown(1), shown(4), shown(5)
    ('0', '<5', '<5', '5')
    """
    return SMALL if 0 < number < SMALLEST else count(number)


def shown_parts(parts: Mapping[str, int], whole: int) -> dict[str, str]:
    """Return counts of parts of `whole`, which is shown too. Where one is small, the others are not exact either.

    >>> shown_parts({"a": 90, "b": 7, "c": 3}, 100)
    {'a': '5 or more', 'b': '5 or more', 'c': '<5'}
    >>> shown_parts({"a": 90, "b": 7}, 97)
    {'a': '90', 'b': '7'}

    Parts that overlap, of which each has a rest:

    >>> shown_parts({"a": 98, "b": 60, "c": 2}, 100)
    {'a': '5 or more', 'b': '60', 'c': '<5'}
    """
    if sum(parts.values()) == whole:
        return _of_partition(parts, whole)
    return {name: _of_partition({name: n, "": whole - n}, whole)[name] for name, n in parts.items()}


def _of_partition(parts: Mapping[str, int], whole: int) -> dict[str, str]:
    filled = [number for number in parts.values() if number]
    if min(filled, default=SMALLEST) >= SMALLEST:
        return {name: shown(number) for name, number in parts.items()}
    if whole <= SMALLEST * len(filled):  # so few that the sum could tell them
        return dict.fromkeys(parts, HIDDEN)
    return {name: shown(number) if number < SMALLEST else OTHER for name, number in parts.items()}
