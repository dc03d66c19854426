"""Estimates out of the JSON of a run's results, where anything may be absent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal  # JSON values have no narrower type

_TABLES = (dict, Mapping)
"""A dict is one: named first, since to ask for the other takes ten times as long."""
_NUMBERS = (float, int)
Verdict = Literal["better", "worse", "unclear", "unknown"]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, or None and the reason.

    n: rows behind it, None where not recorded. error: bound on the binning error of a number from histograms.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str | None = None
    error: float | None = None


def find(content: Any, *path: str) -> Any:
    """Return what lies at `path` in nested mappings, None where a step is absent or null.

    >>> find({"a": {"b": 3}}, "a", "b"), find({"a": None}, "a", "b")
    (3, None)
    """
    for key in path:
        if not isinstance(content, _TABLES):
            return None
        content = content.get(key)
    return content


def section(content: Any, *path: str) -> Mapping[str, Any]:
    """Return the mapping at `path`, an empty one where there is none."""
    found = find(content, *path)
    return found if isinstance(found, _TABLES) else {}


def number(content: Any, *path: str) -> float | None:
    """Return the finite number at `path`, else None."""
    found = find(content, *path)
    is_number = isinstance(found, _NUMBERS) and not isinstance(found, bool) and math.isfinite(found)
    return found if is_number else None


def estimate(content: Any, *path: str) -> Estimate:
    """Return the estimate at `path`; one without a value where it is absent."""
    found = section(content, *path)
    n = number(found, "n")
    reason = found.get("reason")
    return Estimate(
        value=number(found, "value"),
        low=number(found, "low"),
        high=number(found, "high"),
        n=None if n is None else int(n),
        reason=None if reason is None else str(reason),
        error=number(found, "error"),
    )


def verdict(difference: Estimate) -> Verdict:
    """Say what a difference shows: only an interval that excludes zero is `better` or `worse`.

    >>> verdict(Estimate(0.04, 0.01, 0.07)), verdict(Estimate(0.04, -0.01, 0.09)), verdict(Estimate(0.04))
    ('better', 'unclear', 'unclear')
    """
    if difference.value is None:
        return "unknown"
    if difference.low is None or difference.high is None:
        return "unclear"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "unclear"


def site_names(results: Mapping[str, Any]) -> list[str]:
    """Return all sites that the results name: the study's order first, then by name."""
    listed = [str(site) for site in find(results, "study", "federation", "sites") or ()]
    found = set(section(results, "comparison", "federated", "sites")) | set(section(results, "comparison", "benefit"))
    for entry in rounds_of(results):
        found |= set(section(entry, "participation")) | set(section(entry, "validation", "sites"))
    return listed + sorted(found - set(listed))


def rounds_of(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rounds of a run, in order; an empty list where there are none."""
    return list(results.get("rounds") or ())


def seed_count(results: Mapping[str, Any]) -> int:
    """Return the number of seeds the run was repeated with, at least 1."""
    return max(1, len(results.get("seeds") or ()))
