"""results.json: its figures are those of the bundle, the outcome and the budgets it was made from."""

import json
import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from client.execution import Execution
from client.site_rows import SplitRows
from common.bundle import Bundle
from common.errors import CheckpointError, UserError
from common.metrics.classes import ClassMeasure
from common.state import digest_state
from common.tasks import Example
from server.closing import Outcome
from server.state import ServerState
from simulations.comparison import Budget, Scoring
from simulations.results import Measured, Results, assemble, read_results, write_results

LABELS = np.array([0, 1, 1, 0, 1, 0, 0, 1])
POSITIVE = np.array([0.1, 0.9, 0.4, 0.4, 0.8, 0.3, 0.6, 0.7])


def entry(bytes_up: int | None, status: str = "accepted") -> dict[str, Any]:
    return {"status": status, "examples": 5, "bytes_up": bytes_up, "bytes_down": 100}


def outcome_of(bundle: Bundle) -> Outcome:
    shared = {name: bundle.initial[name] + np.float32(1) for name in bundle.schema.shared.names}
    rounds = (
        {"round": 1, "participation": {"a": entry(700), "b": entry(None, "late")}},
        {"round": 2, "participation": {"a": entry(500), "b": entry(900)}},
    )
    state = ServerState(run="run-1", study=bundle.study.digest, seed=0, shared=shared, round=2)
    return Outcome(state, shared, 2, rounds, None, {}, {"a": entry(50)})


def budget_of(positive: np.ndarray) -> Budget:
    part = SplitRows([Example((1,), 0)] * len(LABELS), LABELS, [str(i) for i in range(len(LABELS))])
    return Scoring({"a": part}, ClassMeasure(2), 0, 0).budget(
        {"a": np.stack([1 - positive, positive], axis=1)}, one_model=True
    )


def made(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "comparison": {"federated": budget_of(POSITIVE).to_json()},
        "budgets": {"federated": budget_of(POSITIVE)},
        "measured": Measured(1.0, 2.5, 0.25),
        "execution": Execution().to_json(),
        "runtime": "inprocess",
        "command": ["fedpeft", "simulate", "my.toml"],
    }
    return assemble(bundle, outcome_of(bundle), **{**parts, **changes})


KEYS = {
    "format", "study", "seed", "seeds", "rounds", "comparison", "parameters", "bytes", "seconds", "privacy", "digests",
    "versions",
}  # fmt: skip
"""Those that scripts rely on; there may be more."""


def test_the_keys_that_scripts_rely_on_are_there(make_bundle: Callable[..., Bundle]) -> None:
    found = made(make_bundle())
    assert set(found) >= KEYS
    assert found["format"] == 1
    assert set(found["seconds"]) >= {"total", "prepare", "rounds", "comparison"}
    assert found["seconds"]["total"] == 3.75
    assert found["command"] == ["fedpeft", "simulate", "my.toml"]
    assert found["execution"] == {**Execution().to_json(), "runtime": "inprocess"}
    json.dumps(found, allow_nan=False)


def test_parameters_and_bytes_are_counted(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle("peft.private=['head.*']")
    found = made(bundle)
    trainable, shared = (sum(bundle.initial[n].size for n in s.names) for s in (bundle.schema, bundle.schema.shared))
    total = bundle.base_model.parameters + trainable
    assert found["parameters"] == {
        "trainable": trainable, "shared": shared, "total": total, "fraction": trainable / total,
        "aggregates_linearly": False, "carried": 0,
    }  # fmt: skip
    assert trainable - shared == 2 * 32 + 2
    assert found["bytes"] == {"up_per_site_round": 900, "full_model": 4 * total}


def test_a_prefix_aggregates_linearly_and_says_so(make_bundle: Callable[..., Bundle]) -> None:
    found = made(make_bundle("peft={method='prefix', virtual_tokens=3}"))
    assert found["parameters"]["aggregates_linearly"] is True


def test_digests_are_those_of_what_they_name(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    found = made(bundle)["digests"]
    assert found == {
        "study": bundle.study.digest,
        "schema": bundle.schema.digest,
        "base_model": bundle.study.base_model.digest,
        "bundle": bundle.digest,
        "adapter": digest_state(outcome_of(bundle).adapter),
        "carried": None,
    }


def test_versions_are_those_that_are_installed(make_bundle: Callable[..., Bundle]) -> None:
    found = made(make_bundle())["versions"]
    assert found["python"] == platform.python_version()
    installed = {each.metadata["Name"].lower(): each.version for each in distributions()}
    assert {name: installed.get(name) for name in found if name != "python"} == {
        name: value for name, value in found.items() if name != "python"
    }
    assert {"torch", "peft", "flwr", "ray", "scikit-learn"} <= set(found)


def test_curves_are_scikit_learn_s_within_a_bin(make_bundle: Callable[..., Bundle]) -> None:
    curves = made(make_bundle())["curves"]["federated"]
    false_positive, true_positive, _ = roc_curve(LABELS, POSITIVE, drop_intermediate=False)
    found = set(zip(curves["roc"]["false_positive_rate"], curves["roc"]["true_positive_rate"], strict=True))
    assert set(zip(false_positive.tolist(), true_positive.tolist(), strict=True)) <= found
    assert sum(curves["calibration"]["n"]) == len(LABELS)


def test_budgets_without_one_model_or_with_a_diverged_one_have_no_curve(make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    without = replace(budget_of(POSITIVE), histogram=None)
    assert made(bundle, budgets={"local": without})["curves"] is None
    assert made(bundle, budgets={"central": budget_of(np.full(len(LABELS), np.nan))})["curves"] is None


def test_a_run_without_comparison_says_so(make_bundle: Callable[..., Bundle]) -> None:
    found = made(make_bundle(), comparison=None, budgets={})
    assert (found["comparison"], found["curves"]) == (None, None)


def test_what_is_written_is_read(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    content = made(make_bundle())
    written = write_results(tmp_path, content)
    found = read_results(tmp_path)
    assert found.content == json.loads(json.dumps(content)) == json.loads((tmp_path / "results.json").read_text())
    assert found.adapter == written.adapter == tmp_path / "adapter"


@pytest.mark.parametrize("text", [None, "", '{"format": 1', "[]", "1"])
def test_a_folder_without_results_is_said(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"holds no finished run: results\.json is missing or damaged"):
        read_results(tmp_path)


def test_results_of_another_version_are_said(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"format": 2}')
    with pytest.raises(UserError, match="format 2"):
        read_results(tmp_path)


def budget_json(**means: float) -> dict[str, Any]:
    sites = {"a": {"auroc": {"value": 0.7}}, "b": {"auroc": {"value": None}}}
    return {"sites": sites, "mean": {n: {"value": v} for n, v in means.items()}, "pooled": {"auroc": {"value": 0.9}}}


COMPARISON = {
    "federated": budget_json(auroc=0.8, brier=0.2),
    "logistic": {"central": budget_json(auroc=0.6), "local": budget_json(auroc=0.5)},
    "benefit": {"a": {"value": 0.1}},
    "over_seeds": None,
}


def test_a_figure_is_found_by_budget_metric_and_place(tmp_path: Path) -> None:
    results = Results(tmp_path, {"comparison": COMPARISON})
    assert results.metric("federated") == 0.8
    assert results.metric("federated", "brier") == 0.2
    assert results.metric("federated", "auroc", of="pooled") == 0.9
    assert results.metric("federated", of="a") == 0.7
    assert results.metric("federated", of="b") is None
    assert [results.metric(f"logistic/{kind}") for kind in ("central", "local")] == [0.6, 0.5]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"budget": "logistic"}, "no budget 'logistic' .*; there are: federated, logistic/central, logistic/local"),
        ({"budget": "local"}, "no budget 'local'"),
        ({"budget": "benefit"}, "no budget 'benefit'"),
        ({"budget": "federated", "name": "auc"}, "no metric 'auc' .*; there are: auroc, brier"),
        ({"budget": "federated", "of": "c"}, "no place 'c' .*; there are: mean, pooled, a, b"),
    ],
)
def test_a_figure_that_is_not_there_is_said_with_those_that_are(
    asked: dict[str, str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        Results(tmp_path, {"comparison": COMPARISON}).metric(**asked)


def test_a_run_without_comparison_has_no_figure(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="made no comparison"):
        Results(tmp_path, {"comparison": None}).metric("federated")
