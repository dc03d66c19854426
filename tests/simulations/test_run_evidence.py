"""A run that is asked for evidence: its numbers are those that anyone can compute from rows and predictions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from client.scoring import score
from common.errors import StudyError
from common.metrics.evaluation import evaluate
from common.metrics.recalibration import recalibrate
from common.seeds import generator
from common.state import AdapterState
from server.report.evidence_file import evidence_of
from simulations.results import Results, read_results
from simulations.run import run
from simulations.virtual import VirtualSites, resident_sites

ASKS = (
    "training.local_epochs=1",
    "federation.rounds=2",
    "evaluation.resamples=20",
    "evaluation.cohort=true",
    "evaluation.recalibration=true",
    "evaluation.subgroups=['age']",
    "evaluation.subgroup_cuts={age=[55]}",
    "evaluation.small_cell=3",
    "evaluation.test_fraction=0.4",
    "evaluation.validation_fraction=0.3",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run("quick", out=tmp_path_factory.mktemp("evidence") / "out", overrides=ASKS, contributions=True)


@pytest.fixture(scope="module")
def evidence(results: Results) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results.folder / "evidence.json").read_text())
    assert found == json.loads(json.dumps(evidence_of(results.content)))
    return found


@pytest.fixture(scope="module")
def sites(results: Results) -> VirtualSites:
    return resident_sites(str(results.folder))


@pytest.fixture(scope="module")
def predictions(results: Results, sites: VirtualSites) -> Mapping[str, Mapping[str, Any]]:
    """Probabilities (n, 2) of the exported adapter for validation and test rows of each site."""
    return predicted(sites, load_file(results.adapter / "adapter.safetensors"))


def predicted(sites: VirtualSites, adapter: AdapterState) -> dict[str, dict[str, Any]]:
    sites.bench.write(adapter)
    return {
        site: {
            "validation": score(sites.bench, rows.validation.examples, execution=sites.execution),
            "test": score(sites.bench, rows.test.examples, execution=sites.execution),
        }
        for site, rows in sites.rows.items()
    }


def test_the_cohort_is_that_of_the_rows(evidence: dict[str, Any], sites: VirtualSites) -> None:
    for site, rows in sites.raw.items():
        found = evidence["cohort"]["sites"][site]
        ages = np.array(rows.features["age"])
        assert (found["rows"], found["patients"]) == (len(rows), len(set(rows.patients)))
        assert found["labels"] == {"no": int((rows.labels == 0).sum()), "yes": int((rows.labels == 1).sum())}
        assert found["numbers"]["age"]["mean"] == pytest.approx(ages.mean())
        assert found["numbers"]["age"]["sd"] == pytest.approx(ages.std(ddof=1))
    whole = np.concatenate([rows.features["age"] for rows in sites.raw.values()])
    assert evidence["cohort"]["pooled"]["numbers"]["age"]["mean"] == pytest.approx(whole.mean())


def test_subgroups_are_those_of_the_predictions(
    evidence: dict[str, Any], sites: VirtualSites, predictions: Mapping[str, Mapping[str, Any]]
) -> None:
    checked, pooled = 0, []
    for site, rows in sites.rows.items():
        old = np.array([age >= 55 for age in rows.test.features["age"]])
        found = evidence["subgroups"]["sites"][site].get("age=55 or more", {}).get("auroc", {})
        if found.get("value") is not None:
            labels, p = rows.test.labels[old], predictions[site]["test"][old, 1]
            assert found["value"] == pytest.approx(roc_auc_score(labels, p))
            assert found["n"] == old.sum()
            pooled.append((labels, p))
            checked += 1
    assert checked >= 2
    labels, p = (np.concatenate(part) for part in zip(*pooled, strict=True))
    found = evidence["subgroups"]["pooled"]["age=55 or more"]["auroc"]
    assert found["value"] == pytest.approx(roc_auc_score(labels, p), abs=found["error"] + 1e-12)


def test_recalibration_is_that_of_the_predictions_and_the_same_by_both_ways(
    results: Results, evidence: dict[str, Any], sites: VirtualSites, predictions: Mapping[str, Mapping[str, Any]]
) -> None:
    """A real site tells it with its closing answer; a simulation works it out after the run."""
    for site, rows in sites.rows.items():
        expected = recalibrate(
            (predictions[site]["validation"], rows.validation.labels),
            (predictions[site]["test"], rows.test.labels),
            rows.test.patients,
            resamples=20,
            rng=generator(results.content["seed"], site=site, purpose="bootstrap recalibration"),
        ).to_json()
        assert expected["method"] == "platt"
        assert evidence["recalibration"]["sites"][site] == expected


def test_the_decision_curve_is_that_of_the_predictions(
    evidence: dict[str, Any], sites: VirtualSites, predictions: Mapping[str, Mapping[str, Any]]
) -> None:
    y = np.concatenate([sites.rows[site].test.labels for site in sorted(sites.rows)]) == 1
    p = np.concatenate([predictions[site]["test"][:, 1] for site in sorted(sites.rows)])
    curve = evidence["decision_curve"]
    assert (curve["n"], curve["prevalence"]) == (len(y), y.mean())
    for place in (9, 49, 79):
        t = curve["thresholds"][place]
        acts = p >= t
        expected = (acts & y).mean() - (acts & ~y).mean() * t / (1 - t)
        assert curve["modes"]["federated"][place] == pytest.approx(expected)
        assert curve["all"][place] == pytest.approx(y.mean() - (1 - y.mean()) * t / (1 - t))
    assert set(curve["modes"]) == {"federated", "local"}


def test_contributions_are_those_of_a_federation_without_the_hospital(
    results: Results, evidence: dict[str, Any], sites: VirtualSites, tmp_path: Path
) -> None:
    """Run again from the start without `west`, as a study of the two others: the same adapter, the same figures."""
    two = run("quick", out=tmp_path / "two", overrides=[*ASKS, "federation.sites=['east','north']"], comparison=False)
    without = predicted(sites, load_file(two.adapter / "adapter.safetensors"))
    found = evidence["contributions"]["sites"]["west"]
    for site, rows in sites.rows.items():
        expected = evaluate(
            without[site]["test"], rows.test.labels, rows.test.patients, resamples=0, rng=np.random.default_rng(0)
        )
        entry = found["sites"][site]
        assert entry["without"]["value"] == pytest.approx(expected.metrics["auroc"].value)
        assert entry["with"] == results.content["comparison"]["federated"]["sites"][site]["auroc"]
        assert entry["difference"]["value"] == pytest.approx(entry["with"]["value"] - entry["without"]["value"])
    others = [found["sites"][site]["difference"]["value"] for site in ("east", "north")]
    assert found["others"]["value"] == pytest.approx(np.mean(others))


def test_journals_are_told_by_their_lines(results: Results, evidence: dict[str, Any]) -> None:
    receipts = evidence["provenance"]["receipts"]
    lines = {
        path.parent.name: len(path.read_text().splitlines()) for path in results.folder.glob("sites/*/journal.jsonl")
    }
    assert {site: each["count"] for site, each in receipts["sites"].items()} == lines
    assert not receipts["signed"]
    assert evidence["provenance"]["command"][-len(ASKS) - 1] == "--contributions"


def test_evidence_moves_no_adapter(results: Results, tmp_path: Path) -> None:
    plain = [text for text in ASKS if not text.startswith(("evaluation.cohort", "evaluation.sub", "evaluation.recal"))]
    other = run("quick", out=tmp_path / "plain", overrides=plain, comparison=False)
    assert other.content["digests"]["adapter"] == results.content["digests"]["adapter"]
    assert other.content["cohort"] is None
    assert other.content["recalibration"] is not None
    assert read_results(other.folder).content["subgroups"] is None


@pytest.mark.parametrize(
    "overrides", [["peft.private=['head.*']"], ["federation.ranks={east=2}", "aggregation.name=hetlora"]]
)
def test_contributions_need_one_model_for_all(overrides: list[str], tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not go with"):
        run("quick", out=tmp_path / "out", overrides=[*ASKS, *overrides], contributions=True)
    assert not (tmp_path / "out").exists()
