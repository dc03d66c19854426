"""A round as `results.json` shows it, from what became of its sites."""

from collections.abc import Mapping
from typing import Any  # JSON values

import numpy as np

from common.metrics.measure import Measure
from common.protocol import Split, SplitEvaluation
from server.session import Results, SiteResult, accepted
from server.state import Record


def participation(results: Results) -> dict[str, Any]:
    """Return `{site: {"status", "examples", "bytes_up", "bytes_down", "reason"?}}`."""
    return {site: _participation(results[site]) for site in sorted(results)}


def _participation(result: SiteResult) -> dict[str, Any]:
    content: dict[str, Any] = {
        "status": result.status,
        "examples": result.examples,
        "bytes_up": result.bytes_up,
        "bytes_down": result.bytes_down,
    }
    return content if result.reason is None else {**content, "reason": result.reason}


def training(results: Results) -> dict[str, Any]:
    """Return `{"mean": {name: value}, "sites": {site: {name: value}}}`; the mean is weighted by examples."""
    sites = {site: dict(result.train) for site, result in accepted(results).items()}
    names = sorted({name for values in sites.values() for name in values})
    return {"mean": {name: _mean(accepted(results), name) for name in names}, "sites": sites}


def _mean(results: Results, name: str) -> float:
    held = [(r.examples or 0, r.train[name]) for r in results.values() if name in r.train]
    weight = sum(examples for examples, _ in held)
    return sum(examples * value for examples, value in held) / weight


def validation(
    evaluations: Mapping[str, SplitEvaluation],
    measure: Measure,
    *,
    resamples: int,
    rng: np.random.Generator,
    one_model: bool = True,
) -> Record:
    """Return `{"sites": {site: {metric: M}}, "pooled": {metric: M}}`; one_model: every site scores the same."""
    released = {site: (e.scores, e.summary) for site, e in evaluations.items()}
    sites = {site: e.scores.to_json()["metrics"] for site, e in evaluations.items()}
    pooled = measure.pool(released, resamples=resamples, rng=rng, one_model=one_model)
    return {"sites": sites, "pooled": {name: metric.to_json() for name, metric in pooled.items()}}


def of_split(results: Results, split: Split) -> dict[str, SplitEvaluation]:
    """Return the evaluations of one split from the accepted replies, in the order of site names."""
    return {site: r.evaluations[split] for site, r in accepted(results).items() if split in r.evaluations}


def seconds(results: Results, *, total: float, aggregate: float, diagnose: float) -> dict[str, float | None]:
    """Return the seconds of a round: on the server's clock, and summed over the sites as they report them."""
    reported = {name: [r.train[name] for r in results.values() if name in r.train] for name in _REPORTED}
    sums = {name: sum(values) if values else None for name, values in reported.items()}
    return {
        "total": total,
        "train": sums["seconds_train"],
        "evaluate": sums["seconds_evaluate"],
        "aggregate": aggregate,
        "diagnose": diagnose,
    }


_REPORTED = ("seconds_train", "seconds_evaluate")


def update_norms(results: Results) -> dict[str, float]:
    """Return the Euclidean norm of each accepted update; a reply without one has none."""
    return {site: result.norm for site, result in accepted(results).items() if result.norm is not None}


def examples(results: Results) -> dict[str, int]:
    """Return the example count of each accepted reply."""
    return {site: r.examples for site, r in accepted(results).items() if r.examples is not None}
