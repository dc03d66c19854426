"""What the sites told at the end, as `results.json` shows it: cohort, subgroups, recalibration. Absent is null.

Totals are of what was told: a hidden cell is in none of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any  # JSON values

import numpy as np

from common.cohort_statistics import Cohort, Numbers
from common.cohort_totals import Total, add
from common.metrics.measure import Measure
from common.protocol import SplitEvaluation
from common.seeds import generator
from common.site_evidence import SiteEvidence, Subgroup

HIDDEN = "hidden: few patients, or it would tell of few"


def evidence_json(
    test: Mapping[str, SplitEvaluation], measure: Measure, *, resamples: int, seed: int, one_model: bool
) -> dict[str, Any]:
    """Return `{"cohort", "subgroups", "recalibration"}` of the sites that told them, in the order of their names."""
    told = {site: each.evidence for site, each in sorted(test.items()) if each.evidence is not None}
    return {
        "cohort": _cohort({site: each.cohort for site, each in told.items() if each.cohort is not None}),
        "subgroups": _subgroups(told, measure, resamples=resamples, seed=seed, one_model=one_model),
        "recalibration": _recalibration(told),
    }


def _cohort(cohorts: Mapping[str, Cohort]) -> dict[str, Any] | None:
    """Return `{"sites": {site: C}, "pooled": C}`; a cell of `pooled` is `{"rows", "hidden_at"}`."""
    if not cohorts:
        return None
    pooled = add(list(cohorts.values()))
    return {
        "sites": {site: _site_cohort(each) for site, each in cohorts.items()},
        "pooled": {
            "rows": _total(pooled.rows),
            "patients": _total(pooled.patients),
            "labels": {name: _total(each) for name, each in pooled.labels.items()},
            "categories": {
                column: {name: _total(each) for name, each in levels.items()}
                for column, levels in pooled.categories.items()
            },
            "numbers": {
                column: {**_numbers(each.numbers), "hidden_at": each.hidden_at}
                for column, each in pooled.numbers.items()
            },
        },
    }


def _site_cohort(cohort: Cohort) -> dict[str, Any]:
    return {
        "small_cell": cohort.small_cell,
        "rows": cohort.rows,
        "patients": cohort.patients,
        "labels": None if cohort.labels is None else dict(cohort.labels),
        "categories": None if cohort.categories is None else {c: dict(v) for c, v in cohort.categories.items()},
        "numbers": None if cohort.numbers is None else {c: _numbers(each) for c, each in cohort.numbers.items()},
    }


def _numbers(numbers: Numbers) -> dict[str, Any]:
    found = {"n": numbers.n, "missing": numbers.missing, "sum": numbers.total, "sum_of_squares": numbers.squares}
    return {**found, "mean": numbers.mean, "sd": numbers.deviation}


def _total(total: Total) -> dict[str, int]:
    return {"rows": total.rows, "hidden_at": total.hidden_at}


def _subgroups(
    told: Mapping[str, SiteEvidence], measure: Measure, *, resamples: int, seed: int, one_model: bool
) -> dict[str, Any] | None:
    """Return `{"sites": {site: {"column=level": {metric: M}}}, "pooled": {...}, "patients": {site: {...}}}`."""
    found = {site: _flat(each) for site, each in told.items() if each.subgroups is not None}
    if not found:
        return None
    names = _in_order([name for each in found.values() for name in each])
    first = [info.name for info in measure.infos]
    pooled = {}
    for name in names:
        shown = {site: each[name] for site, each in found.items() if name in each}
        rng = generator(seed, purpose=f"bootstrap pooled subgroup {name}")
        pooled[name] = _pooled(shown, measure, resamples=resamples, rng=rng, one_model=one_model)
    return {
        "small_cell": max(each.small_cell for each in told.values()),
        "sites": {
            site: {name: _metrics(each, first) for name, each in levels.items()} for site, levels in found.items()
        },
        "patients": {
            site: {name: None if each is None else each.scores.patients for name, each in levels.items()}
            for site, levels in found.items()
        },
        "pooled": pooled,
    }


def _in_order(names: Sequence[str]) -> list[str]:
    """Return each name once, those of a column together: a site without a level lacks its name."""
    columns = list(dict.fromkeys(name.partition("=")[0] for name in names))
    return sorted(dict.fromkeys(names), key=lambda name: columns.index(name.partition("=")[0]))


def _flat(evidence: SiteEvidence) -> dict[str, Subgroup | None]:
    levels = evidence.subgroups or {}
    return {f"{column}={name}": each for column, found in levels.items() for name, each in found.items()}


def _metrics(subgroup: Subgroup | None, names: Sequence[str]) -> dict[str, Any]:
    if subgroup is None:
        return {name: _absent(HIDDEN) for name in names}
    return {name: metric.to_json() for name, metric in subgroup.scores.metrics.items()}


def _absent(reason: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "n": None, "reason": reason}


def _pooled(
    shown: Mapping[str, Subgroup | None], measure: Measure, *, resamples: int, rng: np.random.Generator, one_model: bool
) -> dict[str, Any]:
    """Return the metrics over the sites that show the subgroup, each with how many of them hide it."""
    kept = {site: (each.scores, each.summary) for site, each in shown.items() if each is not None}
    hidden_at = len(shown) - len(kept)
    if not kept:
        return {info.name: _absent(HIDDEN) for info in measure.infos}
    pooled = measure.pool(kept, resamples=resamples, rng=rng, one_model=one_model)
    part = f"without the rows of {hidden_at} of {len(shown)} sites, which hide them" if hidden_at else None
    found = {name: metric.to_json() for name, metric in pooled.items()}
    return found if part is None else {name: {**each, "reason": _joined(each, part)} for name, each in found.items()}


def _joined(metric: Mapping[str, Any], part: str) -> str:
    return "; ".join([*([str(metric["reason"])] if metric.get("reason") else []), part])


def _recalibration(told: Mapping[str, SiteEvidence]) -> dict[str, Any] | None:
    sites = {site: each.recalibration.to_json() for site, each in told.items() if each.recalibration is not None}
    return {"sites": sites} if sites else None
