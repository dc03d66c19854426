"""A real site in a study that protects single patients: what leaves, what it costs, and when it ends."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from client.gate import Gate
from client.journal import Journal
from client.ledger import open_ledger
from client.policy import Policy
from client.private_reply import STAYS
from client.settings import read_settings
from common.errors import CheckpointError, RefusedError
from common.metrics.types import Metric
from common.privacy._accounting import Spending, epsilon_of
from common.protocol import Answer, Refusal, Reply

Make = Callable[..., Any]
Ask = Callable[..., Any]
PRIVATE = ("privacy.mechanism=patient-dp", "privacy.epsilon=6.0", "training.batch_size=8", "federation.rounds=2")


def replied(answer: Answer) -> Reply:
    assert isinstance(answer, Reply), answer
    return answer


def patients_of(site: Any) -> tuple[str, ...]:
    """Of the training rows, as the trainer has them."""
    hospital = site.hospital()
    hospital.preload()
    return tuple(hospital._resident.trainer.rows.train.patients)


def counted(site: Any, patients: tuple[str, ...]) -> float:
    return open_ledger(site.folder).spent(patients, delta=1e-5)


def test_beside_noised_tensors_nothing_leaves_that_rows_could_be_told_from(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.approve()
    reply = replied(site.sent(site.hospital(), ask(site.bundle)))
    assert set(reply.update) == set(site.bundle.schema.shared.names)
    assert any(array.any() for array in reply.update.values())
    assert reply.train == {}
    assert reply.examples % 10 == 0
    assert reply.examples > 0
    evaluation = reply.evaluations["validation"]
    assert evaluation.summary is None
    assert evaluation.scores.n % 10 == evaluation.scores.patients % 10 == 0
    assert {(m.value, m.n, m.reason) for m in evaluation.scores.metrics.values()} == {(None, 0, STAYS)}


def test_how_few_patients_a_class_has_is_not_said_either(make_site: Make, ask: Ask) -> None:
    """Metrics are withheld anyway; the reason is of the exact number of patients, which one patient changes."""
    site = make_site(*PRIVATE)
    site.set_policy(minimum_class_patients=10_000)
    site.approve()
    request = ask(site.bundle)
    reply = replied(site.sent(site.hospital(), request))
    assert {metric.reason for metric in reply.evaluations["validation"].scores.metrics.values()} == {STAYS}
    site.set_policy(minimum_class_patients=0)
    again = replied(site.sent(site.hospital(), request))
    assert again.evaluations == reply.evaluations


def test_that_training_diverged_is_said_of_noised_tensors_and_counts(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE, "training.learning_rate=3e38")
    site.approve()
    patients = patients_of(site)
    assert site.sent(site.hospital(), ask(site.bundle)) == Refusal("TRAINING_DIVERGED")
    once = counted(site, patients)
    assert once > 0
    assert [charge.settled for charge in open_ledger(site.folder).read()[0].charges] == [True]
    assert site.sent(site.hospital(), ask(site.bundle)) == Refusal("TRAINING_DIVERGED")
    assert counted(site, patients) == once


def test_exact_metrics_leave_where_the_hospital_says_so(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.set_policy(exact_metrics=True, count_step=1)
    site.approve()
    reply = replied(site.sent(site.hospital(), ask(site.bundle)))
    assert reply.train == {}
    assert any(metric.value is not None for metric in reply.evaluations["validation"].scores.metrics.values())


def test_each_round_is_charged_once_and_the_whole_study_spends_what_it_promised(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.approve()
    patients, hospital = patients_of(site), site.hospital()
    first = replied(site.sent(hospital, ask(site.bundle)))
    after_one = counted(site, patients)
    again = replied(site.sent(site.hospital(), ask(site.bundle)))
    assert all(np.array_equal(first.update[name], again.update[name]) for name in first.update)
    assert counted(site, patients) == after_one
    moved = {name: site.bundle.initial[name] + first.update[name] for name in first.update}
    replied(site.sent(hospital, ask(site.bundle, round=2, shared=moved)))
    book, _ = open_ledger(site.folder).read()
    assert [charge.key.round for charge in book.charges] == [1, 2]
    assert all(charge.settled for charge in book.charges)
    one = book.charges[0].spending
    assert one.sampling_probability == 8 / len(set(patients))
    assert one.steps == round(len(set(patients)) / 8)
    both = Spending(one.noise_multiplier, one.sampling_probability, 2 * one.steps)
    assert counted(site, patients) == pytest.approx(epsilon_of([both], delta=1e-5), rel=1e-6)
    assert 5.9 < counted(site, patients) <= 6.0


def test_where_the_budget_is_spent_nothing_is_trained_until_the_hospital_raises_it(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.set_policy(privacy_epsilon=1.0)
    site.approve()
    hospital = site.hospital()
    assert site.sent(hospital, ask(site.bundle)) == Refusal("PRIVACY_BUDGET_SPENT")
    assert site.journal()[-1] == ("refused", "PRIVACY_BUDGET_SPENT")
    assert counted(site, patients_of(site)) == 0
    site.set_policy(privacy_epsilon=8.0)
    replied(site.sent(hospital, ask(site.bundle)))


def test_another_study_of_the_same_patients_spends_on_top(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.approve()
    patients, hospital = patients_of(site), site.hospital()
    replied(site.sent(hospital, ask(site.bundle)))
    once = counted(site, patients)
    other = site.approve_other(*PRIVATE, "name=other")
    answer = site.sent(hospital, ask(other))
    replied(answer)
    assert counted(site, patients) > 1.2 * once


def test_a_study_without_a_guarantee_is_noted_as_one(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    replied(site.sent(site.hospital(), ask(site.bundle)))
    book, cohorts = open_ledger(site.folder).read()
    assert [each.study for each in book.unprotected] == [site.bundle.study.digest]
    assert not book.charges
    assert cohorts


def test_whose_exact_metrics_leave_is_noted_as_unprotected(make_site: Make, ask: Ask) -> None:
    """Beside the guarantee, of validation patients, who are charged nothing."""
    site = make_site(*PRIVATE)
    site.set_policy(exact_metrics=True)
    site.approve()
    trained = set(patients_of(site))
    replied(site.sent(site.hospital(), ask(site.bundle)))
    book, cohorts = open_ledger(site.folder).read()
    (noted,), (charge,) = book.unprotected, book.charges
    assert noted.study == site.bundle.study.digest
    assert cohorts[noted.cohort]
    assert not cohorts[noted.cohort] & cohorts[charge.cohort]
    assert len(cohorts[charge.cohort]) == len(trained)


def test_scored_patients_of_a_study_without_a_guarantee_are_noted_too(make_site: Make, ask: Ask) -> None:
    site = make_site()
    site.approve()
    trained = set(patients_of(site))
    replied(site.sent(site.hospital(), ask(site.bundle)))
    (members,) = open_ledger(site.folder).read()[1].values()
    assert len(members) > len(trained)


def test_the_gate_refuses_what_says_more(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.approve()
    request = ask(site.bundle)
    good = replied(site.sent(site.hospital(), request))
    policy = Policy(minimum_patients=0, minimum_class_patients=0)
    gate = Gate("east", policy, site.bundle.schema, Journal(site.folder.state / "other.jsonl"), is_private=True)
    gate.release(good, request)
    evaluation = good.evaluations["validation"]
    spoken = replace(evaluation.scores, metrics={"auroc": Metric(0.7, n=9)})
    for bad in (
        replace(good, train={"loss": 0.5}),
        replace(good, examples=good.examples + 1),
        replace(good, evaluations={"validation": replace(evaluation, scores=spoken)}),
    ):
        with pytest.raises(RefusedError, match="REFUSED_BY_POLICY"):
            gate.release(bad, request)


def test_a_site_with_two_processes_is_told_what_to_change(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.approve()
    settings = site.folder.settings
    settings.write_text(settings.read_text() + "\nprocesses = 2\n")
    assert site.sent(site.hospital(), ask(site.bundle)) == Refusal("TRAINING_FAILED")


def test_who_removes_the_state_begins_no_new_budget(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.approve()
    replied(site.sent(site.hospital(), ask(site.bundle)))
    shutil.rmtree(site.folder.state)
    assert site.sent(site.hospital(), ask(site.bundle)) == Refusal("TRAINING_FAILED")
    with pytest.raises(CheckpointError, match=r"ledger is gone, and ledger.begun says it was begun"):
        open_ledger(site.folder).read()


def test_a_run_spends_no_more_than_its_study_promised_whoever_joins_or_leaves_the_file(
    make_site: Make, ask: Ask
) -> None:
    """Fewer patients amid a run: each is drawn more often, and the noise that was planned would not do."""
    site = make_site(*PRIVATE)
    site.approve()
    first = replied(site.sent(site.hospital(), ask(site.bundle)))
    settings = read_settings(site.folder)
    lines = settings.rows.read_text().splitlines(keepends=True)
    settings.rows.write_text("".join(lines[: len(lines) // 2]))
    moved = {name: site.bundle.initial[name] + first.update[name] for name in first.update}
    hospital = site.hospital()
    answer = site.sent(hospital, ask(site.bundle, round=2, shared=moved))
    spendings = [charge.spending for charge in open_ledger(site.folder).read()[0].charges]
    assert epsilon_of(spendings, delta=1e-5) <= 6.0
    assert isinstance(answer, Reply) == (len(spendings) == 2)


def test_that_memory_ran_out_is_said_once_and_in_no_word_of_its_own(make_site: Make, ask: Ask) -> None:
    site = make_site(*PRIVATE)
    site.approve()
    hospital = site.hospital()
    hospital.preload()
    resident = hospital._resident
    shield = resident.trainer.shield

    def start(*_: object) -> Any:
        raise RefusedError("OUT_OF_MEMORY")

    hospital._resident = replace(resident, trainer=replace(resident.trainer, shield=replace(shield, start=start)))
    for _ in range(2):
        assert site.sent(hospital, ask(site.bundle)) == Refusal("TRAINING_FAILED")
    (charge,) = open_ledger(site.folder).read()[0].charges
    assert charge.settled
