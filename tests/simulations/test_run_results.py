"""The contract of `results.json`, for every kind of run that there is."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.split import patient_fraction
from common.metrics.evaluation import METRICS
from common.metrics.types import Metric
from server.events import Event, RoundFinished
from simulations.results import Results, read_results
from simulations.run import run

FAST = ("training.local_epochs=1", "evaluation.resamples=10", "federation.rounds=2")
THREE = """
name = "three"
base_model = { source = "generated:tiny-bert" }
task = { target = "grade", labels = ["none", "mild", "severe"], max_length = 16 }
data = { columns = { note = "text", age = "number" }, patient_id = "patient" }
peft = { rank = 2, targets = ["query"] }
federation = { rounds = 1 }
evaluation = { resamples = 10 }
simulation = { data = "three.csv", site_column = "ward" }
"""
STATUSES = {"accepted", "refused", "late", "failed", "absent"}
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
SITES = ["east", "north", "west"]


def three_labels(folder: Path) -> Path:
    """A study of three labels: ward `a` has all of them, ward `b` one only, ward `c` training rows only."""
    wards = [("a", ["none", "mild", "severe"], 40), ("b", ["mild"], 20), ("c", ["none", "mild"], 30)]
    lines = ["ward,patient,note,age,grade"]
    for ward, grades, count in wards:
        for number in range(count):
            patient, grade = f"{ward}-{number}", grades[number % len(grades)]
            if ward != "c" or patient_fraction(patient, split_seed=0) > 0.4:
                lines.append(f"{ward},{patient},{grade} cough,{20 + number},{grade}")
    (folder / "three.csv").write_text("\n".join(lines) + "\n")
    (folder / "three.toml").write_text(THREE)
    return folder / "three.toml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Results]:
    """A run of each kind, made once."""

    @cache
    def made(kind: str) -> Results:
        folder = tmp_path_factory.mktemp("kind")
        kinds: Mapping[str, Callable[[], Results]] = {
            "one seed": lambda: run("quick", out=folder / "out", overrides=FAST),
            "two seeds": lambda: run("quick", out=folder / "out", overrides=FAST, rounds=1, seeds=2),
            "no comparison": lambda: run("quick", out=folder / "out", overrides=FAST, comparison=False),
            "private": lambda: run("quick", out=folder / "out", overrides=[*FAST, 'peft.private=["head.*"]']),
            "three labels": lambda: run(three_labels(folder), out=folder / "out"),
            "one site": lambda: run("quick", out=folder / "out", overrides=[*FAST, 'federation.sites=["west"]']),
            "best": lambda: run("quick", out=folder / "out", overrides=[*FAST, 'evaluation.keep="best"']),
        }
        return kinds[kind]()

    return made


KINDS = ("one seed", "two seeds", "no comparison", "private", "three labels", "one site", "best")
every_kind = pytest.mark.parametrize("kind", KINDS)


def content_of(results: Results) -> dict[str, Any]:
    """The file, read so strictly that NaN and Infinity are errors."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in results.json")

    found: dict[str, Any] = json.loads((results.folder / "results.json").read_text(), parse_constant=refuse)
    return found


def check_metric(content: Mapping[str, Any]) -> None:
    metric = Metric.from_json(content)
    assert metric.value is not None or metric.reason
    assert (metric.low is None) == (metric.high is None)
    assert metric.n >= 0


def check_metrics(content: Mapping[str, Any], *, names: set[str] | None = None) -> None:
    assert set(content) == (set(METRICS) if names is None else names)
    for metric in content.values():
        check_metric(metric)


def check_budget(content: Mapping[str, Any], sites: list[str]) -> None:
    assert sorted(content["sites"]) == sites
    for part in (*content["sites"].values(), content["mean"], content["pooled"]):
        check_metrics(part)


def check_round(record: Mapping[str, Any], number: int, sites: list[str]) -> None:
    assert record["round"] == number
    assert set(record["seconds"]) == {"total", "train", "evaluate", "aggregate", "diagnose"}
    assert all(isinstance(value, float) and value >= 0 for value in record["seconds"].values())
    assert sorted(record["participation"]) == sites
    for site in record["participation"].values():
        assert site["status"] in STATUSES
        assert isinstance(site["examples"], int)
        assert isinstance(site["bytes_up"], int)
        assert isinstance(site["bytes_down"], int)
    assert {"loss", "steps"} <= set(record["train"]["mean"])
    assert sorted(record["validation"]["sites"]) == sites
    for part in (*record["validation"]["sites"].values(), record["validation"]["pooled"]):
        check_metrics(part)
    assert isinstance(record["diagnostics"], dict)


@every_kind
def test_every_key_of_the_contract_is_there(finished: Callable[[str], Results], kind: str) -> None:
    content = content_of(finished(kind))
    sites = content["study"]["federation"]["sites"]
    assert content["format"] == 1
    assert isinstance(content["seed"], int)
    assert content["seeds"][0] == content["seed"]
    assert [r["round"] for r in content["rounds"]] == list(range(1, content["study"]["federation"]["rounds"] + 1))
    for number, record in enumerate(content["rounds"], start=1):
        check_round(record, number, sites)
    assert 0 < content["parameters"]["shared"] <= content["parameters"]["trainable"] < content["parameters"]["total"]
    assert content["parameters"]["fraction"] == pytest.approx(
        content["parameters"]["trainable"] / content["parameters"]["total"]
    )
    assert 0 < content["bytes"]["up_per_site_round"] < content["bytes"]["full_model"]
    assert set(content["seconds"]) == {"total", "prepare", "rounds", "comparison"}
    assert content["privacy"] is None
    assert set(content["digests"]) == {"study", "schema", "base_model", "bundle", "adapter", "carried"}
    assert content["digests"]["carried"] is None  # fedavg carries nothing beside the adapter
    assert all(DIGEST.fullmatch(digest) for name, digest in content["digests"].items() if name != "carried")
    assert {"fedpeft", "flwr", "torch", "transformers", "peft", "numpy"} <= set(content["versions"])
    assert {"device", "precision", "attention", "threads", "runtime"} <= set(content["execution"])


@every_kind
def test_the_comparison_has_every_mode_at_every_site(finished: Callable[[str], Results], kind: str) -> None:
    content = content_of(finished(kind))
    comparison = content["comparison"]
    if kind == "no comparison":
        assert comparison is None
        return
    sites = content["study"]["federation"]["sites"]
    for name in ("federated", "personalised", "local", "central"):
        check_budget(comparison[name], sites)
    for trained in sites:
        assert sorted(comparison["local"]["matrix"][trained]) == sites
        for scored in sites:
            check_metrics(comparison["local"]["matrix"][trained][scored])
    for name in ("central", "local"):
        check_budget(comparison["logistic"][name], sites)
    for site in sites:
        check_metric(comparison["benefit"][site])


@every_kind
def test_report_adapter_and_record_are_there(finished: Callable[[str], Results], kind: str) -> None:
    results = finished(kind)
    report = (results.folder / "report.html").read_text()
    assert "</html>" in report
    assert not re.search(r'(src|href)="(https?:)?//', report)
    assert (results.adapter / "adapter_model.safetensors").exists()
    assert (results.adapter / "README.md").exists()
    single = results.folder if kind != "two seeds" else results.folder / "seed-0"
    for line in (single / "events.jsonl").read_text().splitlines():
        assert {"event", "time"} <= set(json.loads(line))
    assert read_results(results.folder).content == results.content


def test_several_seeds_have_means_and_t_intervals(finished: Callable[[str], Results]) -> None:
    """Two values a and b: mean (a + b) / 2, half width t(0.975, 1) s / sqrt 2 with s = |a - b| / sqrt 2, t = 12.706."""
    results = finished("two seeds")
    singles = [read_results(results.folder / f"seed-{seed}").content for seed in (0, 1)]
    assert results.content["seeds"] == [0, 1]
    assert [single["study"]["evaluation"]["split_seed"] for single in singles] == [0, 1]
    values = [single["comparison"]["federated"]["pooled"]["log_loss"]["value"] for single in singles]
    found = results.content["comparison"]["over_seeds"]["federated"]["pooled"]["log_loss"]
    half = 12.7062047 * abs(values[0] - values[1]) / 2
    assert found["n"] == 2
    assert found["value"] == pytest.approx(np.mean(values))
    assert (found["low"], found["high"]) == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    assert singles[0]["comparison"]["over_seeds"] is None


def test_private_groups_have_no_pooled_ranking_and_say_why(finished: Callable[[str], Results]) -> None:
    content = content_of(finished("private"))
    pooled = content["comparison"]["federated"]["pooled"]["auroc"]
    assert (pooled["value"], pooled["reason"]) == (
        None,
        "each site is scored by its own model: scores are not comparable",
    )
    evaluations = [content["initial"]["validation"], *(record["validation"] for record in content["rounds"])]
    assert all(e["pooled"]["auroc"]["value"] is None for e in evaluations)
    assert {e["pooled"]["auroc"]["reason"] for e in evaluations} == {pooled["reason"]}
    assert all(e["pooled"]["log_loss"]["value"] is not None for e in evaluations)
    assert content["parameters"]["shared"] < content["parameters"]["trainable"]
    assert content["comparison"]["federated"]["mean"]["auroc"]["value"] is not None


def test_one_class_or_no_test_rows_give_null_and_a_reason(
    finished: Callable[[str], Results],
) -> None:
    content = content_of(finished("three labels"))
    sites = content["comparison"]["federated"]["sites"]
    assert sites["a"]["auroc"]["value"] is not None
    assert sites["b"]["auroc"]["value"] is None
    assert "class" in sites["b"]["auroc"]["reason"]
    assert all(metric["value"] is None and metric["reason"] for metric in sites["c"].values())


def test_one_site_alone_is_a_federation_of_one(finished: Callable[[str], Results]) -> None:
    content = content_of(finished("one site"))
    update, aggregated = (content["rounds"][0]["diagnostics"][k] for k in ("update_norms", "aggregated_norm"))
    assert update["west"] == pytest.approx(aggregated, rel=1e-5)


def test_results_over_seeds_go_on_after_an_interruption(finished: Callable[[str], Results], tmp_path: Path) -> None:
    out, count = tmp_path / "out", 0

    def stop_in_the_second(event: Event) -> None:
        nonlocal count
        count += isinstance(event, RoundFinished)
        if count == 2:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"out": out, "overrides": FAST, "rounds": 1, "seeds": 2}
    with pytest.raises(KeyboardInterrupt):
        run("quick", **options, progress=stop_in_the_second)
    assert not (out / "results.json").exists()
    resumed = run("quick", **options, resume=True)
    assert resumed.content["comparison"] == finished("two seeds").content["comparison"]
    again = run("quick", **options, resume=True)
    assert again.content == resumed.content
