"""Counts of patients' rows as a page may show them: small ones hidden, and none to be told from the others.

Primary and complementary suppression as statistical offices do it (Hundepool et al. 2012, Statistical Disclosure
Control, chapter 4).
"""

from collections.abc import Mapping, Set
from typing import Final

from client.dashboard.cells import count

SMALLEST: Final = 5
"""Counts from 1 to one less are hidden."""
SMALL: Final = f"<{SMALLEST}"
OTHER: Final = f"{SMALLEST} or more"
HIDDEN: Final = "hidden"
FEW: Final = 4 * SMALLEST
"""Of so few rows no part is shown where one is small."""


def shown(number: int) -> str:
    """Return a count, or that it is small; nobody is nobody.

    >>> shown(0), shown(1), shown(4), shown(5)
    ('0', '<5', '<5', '5')
    """
    return SMALL if 0 < number < SMALLEST else count(number)


def shown_parts(parts: Mapping[str, int], whole: int) -> dict[str, str]:
    """Return counts of parts of `whole`, which is shown too: neither a hidden part nor a small rest is told from it.

    >>> shown_parts({"a": 90, "b": 7, "c": 3}, 100)
    {'a': '90', 'b': '5 or more', 'c': '<5'}
    >>> shown_parts({"a": 98, "b": 60}, 100)
    {'a': '5 or more', 'b': '60'}
    """
    small = {name for name, number in parts.items() if 0 < number < SMALLEST}
    rests = {name for name, number in parts.items() if 0 < whole - number < SMALLEST} - small
    beside = _hidden_beside(parts, small, whole)
    if beside is None or (whole < FEW and small | rests):
        return {name: HIDDEN if number else "0" for name, number in parts.items()}
    return {name: OTHER if name in beside | rests else shown(number) for name, number in parts.items()}


def _hidden_beside(parts: Mapping[str, int], small: Set[str], whole: int) -> set[str] | None:
    """Return the parts, the smallest first, to be hidden too lest the small ones be told; None: there are too few."""
    others = sorted((name for name, number in parts.items() if number >= SMALLEST), key=lambda name: parts[name])
    for hidden in range(len(others) + 1):
        together = sum(parts[name] for name in (*small, *others[:hidden]))
        if whole < SMALLEST or not _is_told(together, len(small), hidden):
            return set(others[:hidden])
    return None


def _is_told(together: int, small: int, others: int) -> bool:
    """Whether so many small counts and others can be only one way where their sum is known."""
    if not small:
        return False
    least = small + SMALLEST * others
    return together == least or (not others and (small == 1 or together == (SMALLEST - 1) * small))
