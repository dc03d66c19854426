"""Means and t intervals over seeds against scipy, from the content of results.json."""

import copy
import json
from dataclasses import asdict
from functools import reduce
from typing import Any

import numpy as np
import pytest
from scipy import stats

from common.metrics.classes import INFOS
from server.model_card import render_card
from server.report.comparison import seeds_table
from server.report.render import render
from simulations.over_seeds import combine

VALUES = {"federated": 0.9, "personalised": 0.88, "local": 0.8, "central": 0.91}
SITES = ("a", "b")


def metric(value: float | None) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "n": 10}


def run(seed: int, *, logistic: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(seed)

    def budget(level: float, *, pooled: bool = True) -> dict[str, Any]:
        def drawn() -> dict[str, Any]:
            return {name: metric(level + float(rng.normal(0, 0.02))) for name in ("auroc", "brier")}

        sites = {site: drawn() for site in SITES}
        return {
            "sites": sites,
            "mean": drawn(),
            "pooled": drawn() if pooled else {"auroc": metric(None), "brier": metric(0.1)},
        }

    comparison: dict[str, Any] = {
        name: budget(VALUES[name], pooled=name in ("federated", "central")) for name in VALUES
    }
    comparison["benefit"] = {site: metric(0.1) for site in SITES}
    comparison["logistic"] = {"central": budget(0.9), "local": budget(0.8, pooled=False)} if logistic else None
    comparison["over_seeds"] = None
    infos = [asdict(info) for info in INFOS if info.name in ("auroc", "brier")]
    return {"seed": seed, "seeds": [seed], "metrics": infos, "rounds": [], "comparison": comparison}


RUNS = [run(seed) for seed in range(5)]


def expected(values: list[float]) -> tuple[Any, Any, Any]:
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    return pytest.approx(np.mean(values)), pytest.approx(low), pytest.approx(high)


def figures(found: dict[str, Any]) -> tuple[Any, Any, Any]:
    return found["value"], found["low"], found["high"]


def part(comparison: dict[str, Any], budget: str) -> dict[str, Any]:
    found: dict[str, Any] = reduce(lambda place, key: place[key], budget.split("/"), comparison)
    return found


@pytest.mark.parametrize("budget", [*VALUES, "logistic/central", "logistic/local"])
def test_levels_are_scipy_s_t_intervals(budget: str) -> None:
    def of(run: dict[str, Any]) -> dict[str, Any]:
        return part(run["comparison"], budget)

    found = part(combine(RUNS)["comparison"]["over_seeds"], budget)
    for name in ("auroc", "brier"):
        assert figures(found["mean"][name]) == expected([of(run)["mean"][name]["value"] for run in RUNS])
        for site in SITES:
            values = [of(run)["sites"][site][name]["value"] for run in RUNS]
            assert figures(found["sites"][site][name]) == expected(values)
            assert found["sites"][site][name]["n"] == len(RUNS)


@pytest.mark.parametrize(("left", "right"), [("federated", "central"), ("federated", "local")])
def test_differences_are_taken_seed_by_seed(left: str, right: str) -> None:
    found = combine(RUNS)["comparison"]["over_seeds"][f"{left}_minus_{right}"]["mean"]["auroc"]
    values = [[run["comparison"][name]["mean"]["auroc"]["value"] for run in RUNS] for name in (left, right)]
    differences = [a - b for a, b in zip(*values, strict=True)]
    assert figures(found) == expected(differences)
    result = stats.ttest_rel(*values).confidence_interval(0.95)
    assert (found["low"], found["high"]) == (pytest.approx(result.low), pytest.approx(result.high))


def test_pooled_metrics_of_many_models_stay_without_value() -> None:
    over = combine(RUNS)["comparison"]["over_seeds"]
    assert over["local"]["pooled"]["auroc"] == {**metric(None), "n": 0, "reason": "no seed has it"}
    assert over["federated_minus_local"]["pooled"]["auroc"]["value"] is None
    assert over["federated_minus_central"]["pooled"]["auroc"]["value"] is not None


def test_a_seed_without_the_metric_is_counted_out() -> None:
    runs = copy.deepcopy(RUNS)
    runs[2]["comparison"]["federated"]["sites"]["a"]["auroc"] = metric(None)
    found = combine(runs)["comparison"]["over_seeds"]["federated"]["sites"]["a"]["auroc"]
    values = [run["comparison"]["federated"]["sites"]["a"]["auroc"]["value"] for run in runs]
    assert figures(found) == expected([value for value in values if value is not None])
    assert found["reason"] == "4 of 5 seeds have it"
    assert found["n"] == 4


def test_the_first_run_is_kept_as_it_was_and_nothing_is_mutated() -> None:
    before = copy.deepcopy(RUNS)
    found = combine(RUNS)
    assert before == RUNS
    assert found["seeds"] == [0, 1, 2, 3, 4]
    without = {**found, "seeds": [0], "comparison": {**found["comparison"], "over_seeds": None}}
    assert without == RUNS[0]
    json.dumps(found, allow_nan=False)


def test_one_seed_has_no_interval_and_says_so() -> None:
    found = combine(RUNS[:1])["comparison"]["over_seeds"]["federated"]["mean"]["auroc"]
    assert (found["low"], found["high"], found["reason"]) == (None, None, "one seed: no interval")


def test_runs_without_tables_or_without_comparison_combine_too() -> None:
    over = combine([run(seed, logistic=False) for seed in range(2)])["comparison"]["over_seeds"]
    assert over["logistic"] is None
    bare = [{**run(seed), "comparison": None} for seed in range(2)]
    assert combine(bare) == {**bare[0], "seeds": [0, 1]}


def test_report_and_card_show_every_budget_and_difference_over_seeds() -> None:
    found = {"format": 1, **combine(RUNS)}
    over = found["comparison"]["over_seeds"]
    table = seeds_table(found["comparison"])
    assert table is not None
    means = [row[1].text for row in table.rows]
    budgets = ["federated", "personalised", "local", "central", "logistic/central", "logistic/local"]
    assert means[:6] == [f"{part(over, budget)['mean']['auroc']['value']:.3f}" for budget in budgets]
    assert len(means) == 6 + len([name for name in over if "_minus_" in name])
    for text in (render(found), render_card(found)):
        assert text.count("Difference: federated minus ") == 2
        assert text.count("Logistic regression, central") >= 2  # of one seed, and over seeds
        assert "over 5 splits of the same patients" in text
