"""Several seeds of one study in one `results.json`: the first seed's run, with means and t intervals over all."""

import math
from collections.abc import Mapping, Sequence
from typing import Any  # JSON values

from common.metrics.over_seeds import over_seeds
from common.metrics.types import Metric

BUDGETS = ("federated", "personalised", "local", "central")
LOGISTIC = ("central", "local")
DIFFERENCES = (("federated", "central"), ("federated", "local"))
PARTS = ("mean", "pooled")
Bounds = Mapping[str, tuple[float, float]]


def combine(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the first run's content with `seeds` and `comparison.over_seeds` of all; intervals are never mixed."""
    first = dict(runs[0])
    first["seeds"] = [run["seed"] for run in runs]
    if any(run["comparison"] is None for run in runs):
        return first
    compared = [run["comparison"] for run in runs]
    bounds = {info["name"]: _bounds(info) for info in first["metrics"]}
    summary: dict[str, Any] = {name: _summary([c[name] for c in compared], bounds) for name in BUDGETS}
    summary["logistic"] = _logistic([c["logistic"] for c in compared], bounds)
    for left, right in DIFFERENCES:
        summary[f"{left}_minus_{right}"] = _differences(compared, left, right, bounds)
    first["comparison"] = {**first["comparison"], "over_seeds": summary}
    return first


def _logistic(found: Sequence[Mapping[str, Any] | None], bounds: Bounds) -> dict[str, Any] | None:
    """Return the summary of central and local logistic regression; None where the rows have no columns to fit."""
    known = [each for each in found if each is not None]
    return {name: _summary([each[name] for each in known], bounds) for name in LOGISTIC} if known else None


def _summary(budgets: Sequence[Mapping[str, Any]], bounds: Bounds) -> dict[str, Any]:
    whole = {part: _metrics([budget[part] for budget in budgets], bounds) for part in PARTS}
    sites = {
        site: _metrics([budget["sites"].get(site, {}) for budget in budgets], bounds) for site in budgets[0]["sites"]
    }
    return {"sites": sites, **whole}


def _metrics(found: Sequence[Mapping[str, Any]], bounds: Bounds) -> dict[str, Any]:
    return {
        name: _over([m.get(name, {}).get("value") for m in found], within=bounds[name]).to_json() for name in found[0]
    }


def _bounds(info: Mapping[str, Any]) -> tuple[float, float]:
    """An absent bound is none."""
    low, high = info["low"], info["high"]
    return -math.inf if low is None else low, math.inf if high is None else high


def _over(values: Sequence[float | None], *, within: tuple[float, float]) -> Metric:
    known = [value for value in values if value is not None]
    if not known:
        return Metric(None, 0, reason="no seed has it")
    metric = over_seeds(known, within=within)
    if len(known) == len(values) or metric.reason is not None:
        return metric
    return Metric(
        metric.value, metric.n, metric.low, metric.high, reason=f"{len(known)} of {len(values)} seeds have it"
    )


def _differences(compared: Sequence[Mapping[str, Any]], left: str, right: str, bounds: Bounds) -> dict[str, Any]:
    """Return seed-by-seed differences: each seed's two models saw the same split."""
    return {part: _part_differences(compared, left, right, part, bounds) for part in PARTS}


def _part_differences(
    compared: Sequence[Mapping[str, Any]], left: str, right: str, part: str, bounds: Bounds
) -> dict[str, Any]:
    names = compared[0][left][part]
    pairs = {name: [(c[left][part][name]["value"], c[right][part][name]["value"]) for c in compared] for name in names}
    return {
        name: _over([_minus(a, b) for a, b in values], within=_difference(bounds[name])).to_json()
        for name, values in pairs.items()
    }


def _difference(bounds: tuple[float, float]) -> tuple[float, float]:
    """What the difference of two values within these bounds can be."""
    width = bounds[1] - bounds[0]
    return -width, width


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right
