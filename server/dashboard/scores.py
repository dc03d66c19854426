"""Every metric of one evaluation, in little room: a run of 500 rounds over 50 sites has some hundred thousand."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any  # events are JSON

from server.report.values import section

POOLED = ""
"""Stands for all sites together, where a site's name would."""


@dataclass(frozen=True)
class Scores:
    """Values and their intervals, place by place: all metrics of the first scope, then of the next. NaN is absent."""

    scopes: tuple[str, ...]
    metrics: tuple[str, ...]
    values: array[float]
    lows: array[float]
    highs: array[float]

    def at(self, scope: str, metric: str) -> tuple[float | None, float | None, float | None]:
        """Return value, low and high of a metric at a site, or over all."""
        if scope not in self.scopes or metric not in self.metrics:
            return None, None, None
        place = self.scopes.index(scope) * len(self.metrics) + self.metrics.index(metric)
        return _known(self.values[place]), _known(self.lows[place]), _known(self.highs[place])

    def value(self, scope: str, metric: str) -> float | None:
        """Return the value alone."""
        return self.at(scope, metric)[0]


def scores_of(validation: Mapping[str, Any] | None) -> Scores | None:
    """Return the scores of a validation record, `{"sites", "pooled"}`; None where there is none."""
    if validation is None:
        return None
    sites, pooled = section(validation, "sites"), section(validation, "pooled")
    found = {POOLED: pooled, **{site: section(sites, site) for site in sites}}
    metrics = tuple(dict.fromkeys(metric for scope in found.values() for metric in scope))
    entries = [_entry(scope, metric) for scope in found.values() for metric in metrics]
    columns = [array("d", [_number(entry.get(key)) for entry in entries]) for key in ("value", "low", "high")]
    return Scores(tuple(found), metrics, *columns)


def _entry(scope: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    found = scope.get(metric)
    return found if isinstance(found, dict) else {}


def _number(value: Any) -> float:
    """Return a number, NaN for all else; of the types, the common one is asked for first: there are many."""
    return value if type(value) is float else float(value) if type(value) is int else nan


def _known(value: float) -> float | None:
    return None if value != value else value
