"""Every metric of one evaluation, in little room: a run of 500 rounds over 50 sites has some hundred thousand."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any  # events are JSON

from server.report.values import number, section

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
    values, lows, highs = array("d"), array("d"), array("d")
    for scope in found.values():
        for metric in metrics:
            entry = scope.get(metric)
            for column, key in ((values, "value"), (lows, "low"), (highs, "high")):
                value = number(entry, key)
                column.append(nan if value is None else value)
    return Scores(tuple(found), metrics, values, lows, highs)


def _known(value: float) -> float | None:
    return None if value != value else value
