"""The gate lets through exactly what was asked for and allowed, and nothing else, in any of these ways."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.gate import Gate
from client.journal import Entry, Journal
from client.policy import Policy
from common.answers import to_json
from common.errors import RefusedError
from common.files import digest_json
from common.metrics.evaluation import METRICS, evaluate
from common.metrics.histogram import score_histogram
from common.metrics.types import Metric
from common.protocol import TRAIN_FIGURES, Refusal, Reply, Request, RoundPlan, Split, SplitEvaluation
from common.state import AdapterSchema, digest_state

INITIAL = {
    "a": np.zeros((2, 3), np.float32),
    "b": np.zeros(4, np.float32),
    "own": np.zeros(5, np.float32),
}
SCHEMA = AdapterSchema.of(INITIAL, private=["own"])
REQUEST = Request(
    kind="train",
    run="run-1",
    round=3,
    seed=0,
    study="sha256:study",
    schema=SCHEMA.digest,
    plan=RoundPlan(),
    splits=("validation",),
    shared={"a": INITIAL["a"], "b": INITIAL["b"]},
)
EVALUATE = replace(REQUEST, kind="evaluate")
ROWS = 12
OPEN = Policy(release_histograms=True, minimum_patients=0, minimum_class_patients=0)


ENOUGH = {"validation": 5}


def evaluation(*, rows: int = ROWS, patients: int = ROWS) -> SplitEvaluation:
    rng = np.random.default_rng(0)
    positive = rng.uniform(size=rows)
    probabilities, labels = np.stack([1 - positive, positive], axis=1), np.arange(rows) % 2
    names = [f"patient-{i % patients}" for i in range(rows)]
    scores = evaluate(probabilities, labels, names, resamples=5, rng=rng)
    return SplitEvaluation(scores, score_histogram(probabilities, labels, classes=2))


UPDATE = {"a": np.full((2, 3), 0.5, np.float32), "b": np.array([1, -1, 1, -1], np.float32)}
"""Of 40 bytes and Euclidean norm sqrt(6 / 4 + 4) = 2.345."""
FIGURES = {"loss": 0.5, "gradient_norm": 1.5, "steps": 4.0, "seconds_train": 0.1, "seconds_evaluate": 0.2}
REPLY = Reply(UPDATE, 7, FIGURES, {"validation": evaluation()})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", durable=False)


def gate(journal: Journal, policy: Policy = OPEN) -> Gate:
    return Gate("east", policy, SCHEMA, journal)


def lines(journal: Journal) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.path.read_text().splitlines()]


def test_what_was_asked_for_passes_unchanged(journal: Journal) -> None:
    assert gate(journal).release(REPLY, REQUEST) == REPLY
    (line,) = lines(journal)
    assert line["decision"] == "released"
    assert (line["site"], line["run"], line["round"], line["kind"]) == ("east", "run-1", 3, "train")
    assert (line["tensors"], line["size_bytes"], line["examples"]) == (2, 40, 7)
    assert line["digest"] == digest_json([to_json(REPLY), digest_state(UPDATE), digest_state({})])
    assert line["metrics"] == sorted(f"validation {name}" for name in METRICS)
    assert line["histograms"] == ["validation"]
    assert line["reason"] is None
    assert line["policy"] == OPEN.digest


def test_an_evaluation_passes_without_tensors(journal: Journal) -> None:
    reply = replace(REPLY, update={}, train={"seconds_evaluate": 0.1})
    assert gate(journal).release(reply, EVALUATE) == reply
    assert lines(journal)[0]["tensors"] == 0


def with_update(**changes: Any) -> Reply:
    return replace(REPLY, update={**UPDATE, **changes})


def with_metric(name: str) -> Reply:
    scores = evaluation().scores
    more = replace(scores, metrics={**scores.metrics, name: Metric(0.5, n=ROWS)})
    return replace(REPLY, evaluations={"validation": SplitEvaluation(more)})


NAN, INF = np.array([1, np.nan, 1, 1], np.float32), np.array([1, np.inf, 1, 1], np.float32)
REFUSED: Mapping[str, tuple[Reply, Request, Policy]] = {
    "an extra tensor": (with_update(c=np.zeros(1, np.float32)), REQUEST, OPEN),
    "an extra tensor of a telling name": (with_update(finite=np.zeros(1, np.float32)), REQUEST, OPEN),
    "a private tensor": (with_update(own=np.zeros(5, np.float32)), REQUEST, OPEN),
    "a missing tensor": (replace(REPLY, update={"a": UPDATE["a"]}), REQUEST, OPEN),
    "no tensor": (replace(REPLY, update={}), REQUEST, OPEN),
    "a tensor that is not active": (REPLY, replace(REQUEST, plan=RoundPlan(active=("a",))), OPEN),
    "a tensor in an evaluation": (REPLY, EVALUATE, OPEN),
    "another shape": (with_update(a=np.zeros((3, 2), np.float32)), REQUEST, OPEN),
    "another dtype": (with_update(a=UPDATE["a"].astype(np.float64)), REQUEST, OPEN),
    "nan in another shape": (with_update(b=NAN[:3]), REQUEST, OPEN),
    "nan": (with_update(b=NAN), REQUEST, OPEN),
    "inf": (with_update(b=INF), REQUEST, OPEN),
    "extra arrays": (replace(REPLY, extra={"x": np.zeros(1, np.float32)}), REQUEST, OPEN),
    "too many bytes": (REPLY, REQUEST, OPEN.model_copy(update={"max_update_bytes": 39})),
    "too long": (REPLY, REQUEST, OPEN.model_copy(update={"max_update_norm": 2.34})),
    "a tensor that the policy keeps": (REPLY, REQUEST, OPEN.model_copy(update={"tensors": ("a", "own")})),
    "a metric that no one knows": (with_metric("first_patient"), REQUEST, OPEN),
    "another figure": (replace(REPLY, train={**FIGURES, "weight_0": 0.5}), REQUEST, OPEN),
    "a figure that is not finite": (replace(REPLY, train={**FIGURES, "loss": float("nan")}), REQUEST, OPEN),
    "a split that was not asked for": (
        replace(REPLY, evaluations={**REPLY.evaluations, "test": evaluation()}),
        REQUEST,
        OPEN,
    ),
}
DIVERGED = {"nan", "inf", "a figure that is not finite"}


@pytest.mark.parametrize("kind", REFUSED)
def test_anything_else_is_refused_as_a_whole_with_a_line(kind: str, journal: Journal) -> None:
    reply, request, policy = REFUSED[kind]
    with pytest.raises(RefusedError) as error:
        gate(journal, policy).release(reply, request)
    assert error.value.reason == ("TRAINING_DIVERGED" if kind in DIVERGED else "REFUSED_BY_POLICY")
    (line,) = lines(journal)
    assert line["decision"] == "refused"
    assert line["reason"]
    assert (line["tensors"], line["size_bytes"], line["digest"], line["examples"]) == (0, 0, None, None)
    assert line["policy"] == policy.digest
    assert (line["metrics"], line["histograms"]) == ([], [])


def test_bounds_are_met_by_what_is_just_within(journal: Journal) -> None:
    policy = Policy(**{**OPEN.model_dump(), "max_update_bytes": 40, "max_update_norm": 2.346, "minimum_patients": ROWS})
    assert gate(journal, policy).release(REPLY, REQUEST) == REPLY
    active = replace(REPLY, update={"a": UPDATE["a"]})
    assert gate(journal, policy).release(active, replace(REQUEST, plan=RoundPlan(active=("a",)))) == active


def test_the_trainer_s_figures_are_those_that_may_leave() -> None:
    assert set(FIGURES) == TRAIN_FIGURES


def test_histograms_stay_at_home_by_default(journal: Journal) -> None:
    released = gate(journal, Policy()).release(REPLY, REQUEST, rarest=ENOUGH).evaluations["validation"]
    assert released.summary is None
    assert released.scores == REPLY.evaluations["validation"].scores
    assert lines(journal)[0]["histograms"] == []


def test_so_few_patients_are_trained_on_as_the_policy_says() -> None:
    """A real site's own number is 10."""
    for policy, least in ((Policy(), 10), (OPEN.model_copy(update={"minimum_patients": 3}), 3), (OPEN, 0)):
        door = Gate("east", policy, SCHEMA, Journal(Path("unused")))
        door.check_patients(least)
        for patients in {0, least - 1} & set(range(least)):
            with pytest.raises(RefusedError, match="TOO_FEW_PATIENTS"):
                door.check_patients(patients)


@pytest.mark.parametrize("patients", [1, 4])
def test_values_of_too_few_patients_are_withheld(patients: int, journal: Journal) -> None:
    """Patients are counted, not their rows."""
    reply = replace(REPLY, evaluations={"validation": evaluation(patients=patients)})
    policy = OPEN.model_copy(update={"minimum_patients": 5})
    released = gate(journal, policy).release(reply, REQUEST).evaluations["validation"]
    assert released.summary is None
    assert (released.scores.n, released.scores.patients) == (ROWS, patients)
    assert set(released.scores.metrics) == set(METRICS)
    for metric in released.scores.metrics.values():
        assert (metric.value, metric.low, metric.high) == (None, None, None)
        assert metric.reason == "fewer patients than the site releases"


@pytest.mark.parametrize(("rarest", "withheld"), [({"validation": 4}, True), ({"validation": 5}, False), ({}, True)])
def test_values_of_too_few_patients_of_a_class_are_withheld(
    rarest: Mapping[Split, int], withheld: bool, journal: Journal
) -> None:
    """A split of which nobody counted the classes counts as one without patients."""
    policy = OPEN.model_copy(update={"minimum_class_patients": 5})
    released = gate(journal, policy).release(REPLY, REQUEST, rarest=rarest).evaluations["validation"]
    assert (released.summary is None) is withheld
    assert {m.value is None for m in released.scores.metrics.values()} == {withheld}


def test_metrics_that_the_policy_does_not_name_have_no_value(journal: Journal) -> None:
    policy = OPEN.model_copy(update={"metrics": ("auroc", "brier")})
    released = gate(journal, policy).release(REPLY, REQUEST).evaluations["validation"].scores.metrics
    before = REPLY.evaluations["validation"].scores.metrics
    assert {name for name, metric in released.items() if metric.value is not None} == {"auroc", "brier"}
    assert released["auroc"] == before["auroc"]
    assert released["f1"] == Metric(None, n=ROWS, reason="the site does not release this metric")


def test_the_journal_has_no_content(journal: Journal) -> None:
    """No number of the update or of a metric, and no name of a patient, is in any line."""
    secret = 0.123456789
    update = {"a": np.full((2, 3), secret, np.float32), "b": UPDATE["b"]}
    scores = replace(evaluation().scores, metrics={"auroc": Metric(secret, n=ROWS)})
    reply = replace(REPLY, update=update, evaluations={"validation": SplitEvaluation(scores)})
    gate(journal).release(reply, REQUEST)
    with pytest.raises(RefusedError):
        gate(journal).release(replace(reply, extra={"patient-7": np.full(1, secret)}), REQUEST)
    text = journal.path.read_text()
    assert "0.1234" not in text
    assert "patient" not in text
    assert [set(line) for line in lines(journal)] == [{"time", *(field.name for field in fields(Entry))}] * 2


def with_scores(**changes: Any) -> Reply:
    (found,) = REPLY.evaluations.values()
    return replace(REPLY, evaluations={"validation": replace(found, scores=replace(found.scores, **changes))})


def with_value(**changes: Any) -> Reply:
    metrics = evaluation().scores.metrics
    return with_scores(metrics={**metrics, "auroc": replace(metrics["auroc"], **changes)})


def with_histogram(shift: int) -> Reply:
    (found,) = REPLY.evaluations.values()
    assert found.summary is not None
    moved = replace(found.summary, counts=np.roll(found.summary.counts, shift, axis=-1))
    return replace(REPLY, evaluations={"validation": replace(found, summary=moved)})


OTHER = {
    "a tensor": with_update(b=np.nextafter(UPDATE["b"], np.float32(9))),
    "examples": replace(REPLY, examples=8),
    **{f"figure {name}": replace(REPLY, train={**FIGURES, name: value + 1}) for name, value in FIGURES.items()},
    "rows": with_scores(n=ROWS + 1),
    "patients": with_scores(patients=ROWS - 1),
    "a metric's value": with_value(value=0.123),
    "a metric's interval": with_value(low=0.0123),
    "a histogram": with_histogram(1),
    "no histogram": replace(REPLY, evaluations={"validation": SplitEvaluation(evaluation().scores)}),
    "no evaluation": replace(REPLY, evaluations={}),
}


def test_the_digest_is_another_one_where_anything_that_leaves_is(journal: Journal) -> None:
    """Also where the tensors are the same: with a copy of a reply, a hospital can prove what had left."""
    for reply in (REPLY, *OTHER.values()):
        gate(journal).release(reply, REQUEST)
    digests = [line["digest"] for line in lines(journal)]
    assert len(set(digests)) == len(digests) == 1 + len(OTHER)


def test_what_is_withheld_is_not_in_the_digest(journal: Journal) -> None:
    """It is of what left, not of what the trainer made."""
    for shift in (0, 1):
        gate(journal, Policy()).release(with_histogram(shift), REQUEST)
    one, other = lines(journal)
    assert one["digest"] == other["digest"]


def test_a_repetition_is_noted_with_the_digest_of_the_release(journal: Journal) -> None:
    released = gate(journal, Policy()).release(REPLY, REQUEST)
    gate(journal).note_repetition(released, REQUEST)
    gate(journal).note_repetition(Refusal("REFUSED_BY_POLICY"), REQUEST)
    first, second, third = lines(journal)
    assert [first["decision"], second["decision"], third["decision"]] == ["released", "repeated", "refused"]
    assert first["digest"] == second["digest"]
    assert (third["reason"], third["digest"]) == ("REFUSED_BY_POLICY", None)


def test_what_cannot_be_journalled_does_not_leave(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        gate(Journal(tmp_path / "file" / "journal.jsonl")).release(REPLY, REQUEST)
