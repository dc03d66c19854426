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
    beside = _hidden_beside(parts, small) | {name for name, number in parts.items() if 0 < whole - number < SMALLEST}
    return {name: OTHER if name in beside - small else shown(number) for name, number in parts.items()}


def _hidden_beside(parts: Mapping[str, int], small: Set[str]) -> set[str]:
    """Return the part that has to be hidden too, lest the small ones be told from their sum."""
    together, most = sum(parts[name] for name in small), (SMALLEST - 1) * len(small)
    if not small or (len(small) > 1 and len(small) < together < most):
        return set()
    others = {name: number for name, number in parts.items() if number >= SMALLEST}
    return {min(others, key=lambda name: others[name])} if others else set()
