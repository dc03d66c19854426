"""What sites told, as results show it: per site as it was told, totals of that alone."""

import json
from typing import Any

import numpy as np
import pytest

from common.cohort_statistics import Cohort, Numbers
from common.metrics.classes import ClassMeasure
from common.metrics.evaluation import evaluate
from common.metrics.histogram import score_histogram
from common.metrics.recalibration import Recalibration
from common.metrics.types import Metric, Scores
from common.protocol import SplitEvaluation
from common.site_evidence import SiteEvidence, Subgroup
from server.evidence import HIDDEN, evidence_json

MEASURE = ClassMeasure(2)
SCORES = Scores(50, 50, {"auroc": Metric(0.8, 50)})


def subgroup(seed: int, n: int = 40, *, released: bool = True) -> tuple[Subgroup, Any, Any]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    p = np.clip(0.35 + 0.3 * labels + rng.normal(0, 0.2, n), 0.01, 0.99)
    probabilities = np.stack([1 - p, p], axis=1)
    names = [f"{seed}-{i}" for i in range(n)]
    scores = evaluate(probabilities, labels, names, resamples=5, rng=rng)
    summary = score_histogram(probabilities, labels, classes=2) if released else None
    return Subgroup(scores, summary), probabilities, labels


def found(*sites: SiteEvidence | None, one_model: bool = True) -> dict[str, Any]:
    test = {f"site-{i}": SplitEvaluation(SCORES, evidence=each) for i, each in enumerate(sites)}
    content = evidence_json(test, MEASURE, resamples=5, seed=0, one_model=one_model)
    return json.loads(json.dumps(content, allow_nan=False))  # type: ignore[no-any-return] # JSON


def test_pooled_subgroups_are_the_metrics_of_the_rows_of_all_sites() -> None:
    (a, pa, la), (b, pb, lb) = subgroup(1), subgroup(2, 30)
    content = found(SiteEvidence(10, subgroups={"sex": {"f": a}}), SiteEvidence(10, subgroups={"sex": {"f": b}}))
    rng = np.random.default_rng(0)
    whole = evaluate(
        np.concatenate([pa, pb]), np.concatenate([la, lb]), [str(i) for i in range(70)], resamples=0, rng=rng
    )
    pooled = content["subgroups"]["pooled"]["sex=f"]
    for name in ("auroc", "brier", "accuracy"):
        assert pooled[name]["value"] == pytest.approx(
            whole.metrics[name].value, abs=pooled[name].get("error", 0) + 1e-9
        )
    assert content["subgroups"]["sites"]["site-0"]["sex=f"]["auroc"] == a.scores.metrics["auroc"].to_json()
    assert content["subgroups"]["patients"] == {"site-0": {"sex=f": 40}, "site-1": {"sex=f": 30}}


def test_a_hidden_subgroup_is_null_with_its_reason_and_in_no_total() -> None:
    a, *_ = subgroup(1)
    content = found(SiteEvidence(10, subgroups={"sex": {"f": a}}), SiteEvidence(10, subgroups={"sex": {"f": None}}))
    hidden = content["subgroups"]["sites"]["site-1"]["sex=f"]["auroc"]
    assert (hidden["value"], hidden["n"], hidden["reason"]) == (None, None, HIDDEN)
    assert content["subgroups"]["pooled"]["sex=f"]["auroc"]["n"] == 40
    assert "without the rows of 1 of 2 sites" in content["subgroups"]["pooled"]["sex=f"]["auroc"]["reason"]
    assert content["subgroups"]["patients"]["site-1"]["sex=f"] is None
    nobody = found(SiteEvidence(10, subgroups={"sex": {"f": None}}))
    assert nobody["subgroups"]["pooled"]["sex=f"]["auroc"]["reason"] == HIDDEN


def test_the_parts_of_a_column_stand_together() -> None:
    (a, *_), (b, *_) = subgroup(1), subgroup(2)
    first = SiteEvidence(10, subgroups={"sex": {"f": a}, "age": {"old": b}})
    content = found(first, SiteEvidence(10, subgroups={"sex": {"f": a, "missing": b}, "age": {"old": b}}))
    assert list(content["subgroups"]["pooled"]) == ["sex=f", "sex=missing", "age=old"]


def test_without_summaries_ranking_is_not_pooled() -> None:
    a, *_ = subgroup(1, released=False)
    content = found(SiteEvidence(10, subgroups={"sex": {"f": a}}))
    pooled = content["subgroups"]["pooled"]["sex=f"]
    assert pooled["auroc"]["value"] is None
    assert pooled["brier"]["value"] is not None


def test_a_cohort_has_sites_and_totals() -> None:
    tells = Cohort(10, 90, 80, {"no": 50, "yes": 40}, {"sex": {"f": 45}}, {"age": Numbers(90, 0, 900.0, 9900.0)})
    hides = Cohort(10, 60, 60, {"no": None, "yes": None}, {"sex": {"f": None}}, {"age": Numbers()})
    content = found(SiteEvidence(10, tells), SiteEvidence(10, hides), None)["cohort"]
    assert set(content["sites"]) == {"site-0", "site-1"}
    assert content["sites"]["site-0"]["numbers"]["age"]["mean"] == 10.0
    assert content["pooled"]["rows"] == {"rows": 150, "hidden_at": 0}
    assert content["pooled"]["labels"]["no"] == {"rows": 50, "hidden_at": 1}
    assert content["pooled"]["numbers"]["age"]["hidden_at"] == 1


def test_what_nobody_told_is_null() -> None:
    assert found(None, SiteEvidence(10)) == {"cohort": None, "subgroups": None, "recalibration": None}
    one = found(SiteEvidence(10, recalibration=Recalibration("few")))["recalibration"]
    assert one["sites"]["site-0"]["reason"] == "few"
