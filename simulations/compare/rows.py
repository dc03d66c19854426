"""The table of a comparison: one line for each reported run, and one summary for each cell."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # a result is JSON

from common.metrics.measure import MetricInfo
from common.metrics.types import Metric
from common.study import Study
from simulations.compare.cells import Cell
from simulations.compare.choosing import Choice
from simulations.compare.statistics import Paired, Values, level, paired
from simulations.compare.trials import Trial

Result = Mapping[str, Any]
KEYS = ("heterogeneity", "method", "strategy")
VARYING = ("seconds", "bytes_up_per_site_round")
"""The columns that another run of the same command changes; bytes by a few, since replies tell their seconds."""


@dataclass(frozen=True)
class CellRuns:
    """A cell, its rate, and its runs with their results by seed."""

    cell: Cell
    choice: Choice
    trials: Sequence[Trial]
    results: Sequence[Result]

    def values(self, metric: str) -> Values:
        """Return the metric on all test rows by seed, or its mean over sites where each site has its own model."""
        return {t.seed: test_value(t, r, metric) for t, r in zip(self.trials, self.results, strict=True)}

    def mean_of(self, key: str) -> float | None:
        """Return the mean of a figure over the runs that have it."""
        known = [value for result in self.results if (value := result.get(key)) is not None]
        return sum(known) / len(known) if known else None


def test_value(trial: Trial, result: Result, metric: str) -> float | None:
    """Return a run's test metric; None where it diverged, stopped, or has no such figure."""
    if result["status"] != "done":
        return None
    value: float | None = result["test"]["pooled" if has_one_model(trial.study) else "mean"].get(metric)
    return value


def has_one_model(study: Study) -> bool:
    """Whether all sites share every tensor at one rank."""
    return not (study.peft.private or study.federation.ranks)


def lines(runs: Sequence[CellRuns], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return one line for each run; a figure that it lacks is None."""
    return [
        _line(each, trial, result, metrics)
        for each in runs
        for trial, result in zip(each.trials, each.results, strict=True)
    ]


def _line(each: CellRuns, trial: Trial, result: Result, metrics: Sequence[str]) -> dict[str, Any]:
    done = result["status"] == "done"
    rounds, shares = len(result["rounds"]) if done else None, result.get("participation", {})
    virtual = result.get("virtual_seconds")
    return {
        "heterogeneity": each.cell.heterogeneity,
        "method": each.cell.method,
        "strategy": each.cell.strategy,
        "seed": trial.seed,
        "learning_rate": trial.rate,
        "rate_candidates": len(each.cell.rates),
        "rate_at_edge": each.choice.at_edge,
        "status": result["status"],
        **{f"test_{name}": test_value(trial, result, name) for name in metrics},
        **{f"site_mean_{name}": result["test"]["mean"].get(name) if done else None for name in metrics},
        "rounds": rounds,
        "trained_numbers": result.get("trained_numbers"),
        "bytes_up_per_site_round": result.get("bytes_up"),
        "bytes_down_per_site_round": result.get("bytes_down"),
        **{f"replies_{status}": shares.get(status) for status in ("accepted", "late", "absent", "failed", "refused")},
        "virtual_seconds": virtual,
        "virtual_seconds_per_round": None if virtual is None or not rounds else virtual / rounds,
        "seconds": result["seconds"],
        "reason": result["reason"],
        "run": trial.folder_name,
    }


def to_csv(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the lines as CSV; an absent figure is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


@dataclass(frozen=True)
class Summary:
    """What is said of one cell; `paired` is None for the baseline itself, and where that is missing."""

    runs: CellRuns
    metric: str
    level: Metric
    paired: Paired | None

    @property
    def missing(self) -> int:
        """Runs without an adapter or a value."""
        return sum(value is None for value in self.runs.values(self.metric).values())


def summaries(runs: Sequence[CellRuns], info: MetricInfo, *, baseline: str) -> list[Summary]:
    """Return each cell's mean over seeds, and its difference to the baseline of the same method and rows."""
    within = (info.low, info.high)
    bases = {(r.cell.heterogeneity, r.cell.method): r for r in runs if r.cell.strategy == baseline}
    found = []
    for each in runs:
        base = bases.get((each.cell.heterogeneity, each.cell.method))
        values, pair = each.values(info.name), None
        if base is not None and base is not each:
            better = info.higher_is_better
            pair = paired(values, base.values(info.name), higher_is_better=better, within=within)
        found.append(Summary(each, info.name, level(values, within=within), pair))
    return found
