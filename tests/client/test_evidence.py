"""What a site tells at the end: computed from its rows, let out by its policy, in its journal, once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.evidence import FEW_FOR_CALIBRATION, Reporter
from client.policy import Policy
from client.site_rows import SiteRows, SplitRows
from client.trainer import Trainer
from common.answers import from_json, to_json
from common.metrics.classes import ClassMeasure
from common.metrics.evaluation import evaluate
from common.metrics.recalibration import recalibrate
from common.protocol import Answer, Refusal, Reply, Request
from common.seeds import generator
from common.site_evidence import SiteEvidence
from common.study import Study, replaced
from common.study_task import task_of

ASKS = (
    "evaluation.cohort=true",
    "evaluation.recalibration=true",
    "evaluation.subgroups=['age']",
    "evaluation.subgroup_cuts={age=[50]}",
    "evaluation.small_cell=3",
)
OPEN = Policy(release_cohort=True, release_histograms=True, minimum_patients=0, minimum_class_patients=0, small_cell=0)
N = 40


def part(rng: np.random.Generator, name: str) -> SplitRows:
    labels = (rng.random(N) < 0.5).astype(np.int64)
    ages = [None if i < 6 else float(age) for i, age in enumerate(rng.integers(20, 90, N))]
    return SplitRows([0] * N, labels, [f"{name}{i}" for i in range(N)], {"age": ages})  # type: ignore[list-item] # no model reads them


@pytest.fixture
def rows() -> SiteRows:
    rng = np.random.default_rng(0)
    return SiteRows(part(rng, "a"), part(rng, "b"), part(rng, "c"))


def scores(seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    p = np.random.default_rng(seed).uniform(0.05, 0.95, N)
    return np.stack([1 - p, p], axis=1)


def reporter(study: Study, policy: Policy = OPEN) -> Reporter:
    return Reporter("east", study, task_of(study.task), policy, seed=5)


def told(study: Study, rows: SiteRows, policy: Policy = OPEN) -> SiteEvidence:
    return reporter(study, policy).evidence(rows, validation=scores(1), test=scores(2))


def test_the_cohort_is_of_all_rows(make_study: Callable[..., Study], rows: SiteRows) -> None:
    cohort = told(make_study(*ASKS), rows).cohort
    labels = np.concatenate([rows.train.labels, rows.validation.labels, rows.test.labels])
    ages = [age for each in (rows.train, rows.validation, rows.test) for age in each.features["age"]]
    known = np.array([age for age in ages if age is not None])
    assert cohort is not None
    assert (cohort.rows, cohort.patients) == (3 * N, 3 * N)
    assert cohort.labels == {"no": int((labels == 0).sum()), "yes": int((labels == 1).sum())}
    assert cohort.numbers is not None
    found = cohort.numbers["age"]
    assert (found.n, found.missing, found.total) == (len(known), 18, known.sum())
    assert "note" not in str(cohort)


def test_a_subgroups_metrics_are_those_of_its_rows(make_study: Callable[..., Study], rows: SiteRows) -> None:
    found = told(make_study(*ASKS), rows).subgroups
    assert found is not None
    old = np.array([age is not None and age >= 50 for age in rows.test.features["age"]])
    patients = [patient for patient, is_old in zip(rows.test.patients, old, strict=True) if is_old]
    rng = generator(5, site="east", purpose="bootstrap subgroup age=50 or more")
    expected = evaluate(scores(2)[old], rows.test.labels[old], patients, resamples=20, rng=rng)
    (levels,) = found.values()
    assert set(levels) == {"under 50", "50 or more", "missing"}
    assert levels["50 or more"] is not None
    assert levels["50 or more"].scores == expected
    assert levels["50 or more"].summary is not None
    assert sum(each.scores.n for each in levels.values() if each is not None) == N


def test_a_small_subgroup_is_hidden_and_one_more_with_it(make_study: Callable[..., Study], rows: SiteRows) -> None:
    """Six rows have no age: with ten patients as the least they go, and so does a part that would tell their number."""
    found = told(make_study(*ASKS), rows, OPEN.model_copy(update={"small_cell": 10})).subgroups
    assert found is not None
    hidden = {name for name, each in found["age"].items() if each is None}
    assert "missing" in hidden
    assert len(hidden) == 2


def test_a_subgroup_with_few_patients_of_a_class_is_hidden(make_study: Callable[..., Study], rows: SiteRows) -> None:
    old = [age is not None and age >= 50 for age in rows.test.features["age"]]
    test = replace(rows.test, labels=np.where(old, 1, rows.test.labels))
    found = told(make_study(*ASKS), replace(rows, test=test), OPEN.model_copy(update={"minimum_class_patients": 1}))
    assert found.subgroups is not None
    assert found.subgroups["age"]["50 or more"] is None


def test_hidden_subgroups_together_do_not_have_few_patients_of_a_class(
    make_study: Callable[..., Study], rows: SiteRows
) -> None:
    """Two parts with one patient of a class each are hidden; all less the third would tell of these two patients."""
    ages = [30.0] * 12 + [50.0] * 13 + [70.0] * 15
    labels = np.array([1] + [0] * 11 + [1] + [0] * 12 + [1] * 8 + [0] * 7)
    test = replace(rows.test, labels=labels, features={"age": ages})
    study = make_study(*ASKS[:3], "evaluation.subgroup_cuts={age=[40, 60]}", "evaluation.small_cell=3")
    found = told(study, replace(rows, test=test), OPEN.model_copy(update={"minimum_class_patients": 5}))
    assert found.subgroups is not None
    assert set(found.subgroups["age"].values()) == {None}


def test_calibration_is_of_the_sites_own_map(make_study: Callable[..., Study], rows: SiteRows) -> None:
    found = told(make_study(*ASKS), rows).recalibration
    rng = generator(5, site="east", purpose="bootstrap recalibration")
    expected = recalibrate(
        (scores(1), rows.validation.labels), (scores(2), rows.test.labels), rows.test.patients, resamples=20, rng=rng
    )
    assert found == expected


@pytest.mark.parametrize("rule", [{"minimum_patients": 41}, {"small_cell": 41}, {"minimum_class_patients": 39}])
def test_of_too_few_patients_there_is_no_calibration(
    make_study: Callable[..., Study], rows: SiteRows, rule: dict[str, int]
) -> None:
    found = told(make_study(*ASKS), rows, OPEN.model_copy(update=rule)).recalibration
    assert found is not None
    assert (found.reason, found.map) == (FEW_FOR_CALIBRATION, None)


def test_only_what_is_asked_for_is_told(make_study: Callable[..., Study], rows: SiteRows) -> None:
    found = reporter(make_study("evaluation.cohort=true")).evidence(rows, validation=None, test=scores(2))
    assert found.parts == ("cohort",)
    assert found.small_cell == 10


def closing(trainer: Trainer, ask_closing: Callable[..., Request]) -> Answer:
    return trainer.answer(ask_closing(trainer.bundle))


def evidence_of(answer: Answer) -> SiteEvidence | None:
    assert isinstance(answer, Reply), answer
    assert answer.evaluations["validation"].evidence is None
    return answer.evaluations["test"].evidence


def journal_of(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "east" / "journal.jsonl").read_text().splitlines()]


def test_it_leaves_with_the_closing_answer_and_is_in_the_journal(
    make_trainer: Callable[..., Trainer], ask_closing: Callable[..., Request], tmp_path: Path
) -> None:
    trainer = make_trainer(*ASKS, policy=OPEN)
    answer = closing(trainer, ask_closing)
    found = evidence_of(answer)
    assert found is not None
    assert found.parts == ("cohort", "subgroups", "recalibration")
    (line,) = journal_of(tmp_path)
    assert {"test cohort", "test subgroups", "test recalibration"} <= set(line["metrics"])
    again = closing(trainer, ask_closing)
    assert to_json(again) == to_json(answer)
    read = from_json(json.loads(json.dumps(to_json(answer))), update={}, extra={}, measure=ClassMeasure(2))
    assert to_json(read) == to_json(answer)


@pytest.mark.parametrize("rule", [{"release_cohort": False}, {"minimum_patients": 10_000}])
def test_a_policy_that_does_not_let_it_out_keeps_it(
    rule: dict[str, Any], make_trainer: Callable[..., Trainer], ask_closing: Callable[..., Request], tmp_path: Path
) -> None:
    policy = OPEN.model_copy(update=rule)
    answer = closing(make_trainer(*ASKS, policy=policy), ask_closing)
    assert isinstance(answer, Refusal) or evidence_of(answer) is None
    assert "cohort" not in (tmp_path / "east" / "journal.jsonl").read_text()


def test_a_policy_that_lets_out_less_than_before_refuses_the_old_answer(
    make_trainer: Callable[..., Trainer], ask_closing: Callable[..., Request]
) -> None:
    trainer = make_trainer(*ASKS, policy=OPEN)
    assert evidence_of(closing(trainer, ask_closing)) is not None
    stricter = replace(trainer, gate=replace(trainer.gate, policy=OPEN.model_copy(update={"small_cell": 20})))
    assert closing(stricter, ask_closing) == Refusal("REFUSED_BY_POLICY")


def test_a_study_that_asks_for_nothing_is_told_nothing(
    make_trainer: Callable[..., Trainer], ask_closing: Callable[..., Request]
) -> None:
    answer = closing(make_trainer(policy=OPEN), ask_closing)
    assert evidence_of(answer) is None
    assert '"evidence"' not in json.dumps(to_json(answer))


def test_a_task_without_classes_has_no_calibration(make_study: Callable[..., Study], rows: SiteRows) -> None:
    study = replaced(make_study(*ASKS), {"task": {"kind": "regression", "target": "outcome"}})
    found = reporter(study).recalibration(rows, validation=scores(1), test=scores(2))
    assert found.reason == "the task has no classes"


class Noting:
    """What a ledger is told of patients whom nothing protects."""

    def __init__(self) -> None:
        self.patients: set[str] = set()

    def note_unprotected(self, study: str, patients: set[str]) -> None:
        self.patients |= patients


@pytest.mark.parametrize("release_cohort", [True, False])
def test_the_ledger_knows_of_whom_a_cohort_tells(
    release_cohort: bool, make_trainer: Callable[..., Trainer], ask_closing: Callable[..., Request]
) -> None:
    trainer, ledger = make_trainer(*ASKS, policy=OPEN.model_copy(update={"release_cohort": release_cohort})), Noting()
    closing(replace(trainer, ledger=ledger), ask_closing)  # type: ignore[arg-type] # all of a ledger that is asked
    assert (set(trainer.rows.train.patients) <= ledger.patients) is release_cohort
