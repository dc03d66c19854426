"""What a site has spent of its patients: counted once, never too little, and not beyond its limit."""

import os
import random
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import PRVAccountant

from client.ledger import Ledger, Limit
from client.ledger_files import ChargeKey, pseudonym_key
from client.sealing import KEY_BYTES, Seal
from common.errors import CheckpointError, RefusedError
from common.privacy._accounting import Spending, epsilon_of

STORAGE_KEY = os.urandom(KEY_BYTES)
DELTA = 1e-5
ROUND = Spending(1.3, 0.2, 15)
"""One round of training: 15 steps, each over a fifth of the patients."""


def ledger(folder: Path, storage_key: bytes = STORAGE_KEY) -> Ledger:
    return Ledger(folder / "privacy", Seal(storage_key), pseudonym_key(storage_key), durable=False)


def key(number: int, study: str = "sha256:aa", request: str = "sha256:bb") -> ChargeKey:
    return ChargeKey(study, "run-1", number, "train", request)


def patients(start: int, stop: int) -> list[str]:
    return [f"patient-{number:03d}" for number in range(start, stop)]


EVERYBODY = patients(0, 40)


def files_of(made: Ledger) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in made.folder.iterdir() if path.name != "lock"}


def spent(made: Ledger, of: Collection[str] = EVERYBODY) -> float:
    return made.spent(of, delta=DELTA)


def rounds(number: int) -> float:
    return epsilon_of([replace(ROUND, steps=number * ROUND.steps)], delta=DELTA)


# What is counted


def test_nothing_is_spent_at_first(tmp_path: Path) -> None:
    assert spent(ledger(tmp_path)) == 0
    assert not ledger(tmp_path).folder.exists(), "looking writes nothing"


def test_two_ledgers_have_what_two_other_programs_compute(tmp_path: Path) -> None:
    """dp-accounting, and Opacus, whose upper bound is at most 5e-4 over its own estimate."""
    another, opacus, google = Spending(0.9, 0.05, 60), PRVAccountant(), PLDAccountant()
    here, there = ledger(tmp_path / "here"), ledger(tmp_path / "there", os.urandom(KEY_BYTES))
    for number, (study, spending) in enumerate([("a", ROUND), ("b", another), ("a", ROUND)]):
        here.charge(key(number, study), EVERYBODY, spending)
        there.charge(key(number, study), EVERYBODY, spending)
    for spending in (ROUND, ROUND, another):
        noise = GaussianDpEvent(spending.noise_multiplier)
        google.compose(PoissonSampledDpEvent(spending.sampling_probability, noise), spending.steps)
        for _ in range(spending.steps):
            opacus.step(noise_multiplier=spending.noise_multiplier, sample_rate=spending.sampling_probability)
    assert spent(here) == spent(there) == pytest.approx(google.get_epsilon(DELTA), abs=1e-3)
    assert spent(here) == pytest.approx(opacus.get_epsilon(DELTA, eps_error=5e-4, delta_error=1e-9), abs=1e-3)


def test_a_charge_that_is_not_settled_is_charged_once(tmp_path: Path) -> None:
    for _ in range(3):
        ledger(tmp_path).charge(key(1), EVERYBODY, ROUND)  # as after a restart each time
    assert len(ledger(tmp_path).read()[0].charges) == 1
    assert spent(ledger(tmp_path)) == rounds(1)


def test_a_settled_charge_is_charged_again_since_its_answer_may_have_left(tmp_path: Path) -> None:
    made = ledger(tmp_path)
    for _ in range(2):
        made.charge(key(1), EVERYBODY, ROUND)
        made.charge(key(1), EVERYBODY, ROUND)
        made.settle(key(1))
        made.settle(key(1))
    assert [each.settled for each in made.read()[0].charges] == [True, True]
    assert spent(made) == rounds(2)


@pytest.mark.parametrize(
    "other",
    [key(2), key(1, study="c"), key(1, request="c"), replace(key(1), run="r"), replace(key(1), kind="evaluate")],
)
def test_another_round_study_run_kind_or_question_is_another_charge(tmp_path: Path, other: ChargeKey) -> None:
    made = ledger(tmp_path)
    made.charge(key(1), EVERYBODY, ROUND)
    made.charge(other, EVERYBODY, ROUND)
    assert spent(made) == rounds(2)
    made.settle(other)
    assert [each.settled for each in made.read()[0].charges] == [False, True]


def test_another_price_or_cohort_for_the_same_question_is_counted_too(tmp_path: Path) -> None:
    """Between a crash and the same question the file of rows may change; what was counted is never taken back."""
    made = ledger(tmp_path)
    made.charge(key(1), EVERYBODY, ROUND)
    made.charge(key(1), EVERYBODY, replace(ROUND, steps=2 * ROUND.steps))
    assert spent(made) == rounds(3)
    made.charge(key(1), EVERYBODY[1:], ROUND)
    assert (spent(made, EVERYBODY[:1]), spent(made)) == (rounds(3), rounds(4))


def test_an_answer_without_a_charge_must_not_leave(tmp_path: Path) -> None:
    made = ledger(tmp_path)
    made.charge(key(1), EVERYBODY, ROUND)
    with pytest.raises(CheckpointError, match=r"no charge for round 2 \(train\) of run 'run-1'"):
        made.settle(key(2))


# Of whom


def test_patients_that_are_added_have_no_share_in_the_past_and_the_old_ones_no_fresh_budget(tmp_path: Path) -> None:
    made = ledger(tmp_path)
    made.charge(key(1), patients(0, 20), ROUND)
    made.charge(key(2), patients(0, 30), ROUND)
    made.charge(key(3), patients(10, 30), ROUND)
    assert spent(made, patients(0, 10)) == rounds(2)
    assert spent(made, patients(10, 20)) == rounds(3)
    assert spent(made, patients(20, 30)) == rounds(2)
    assert spent(made, patients(30, 40)) == 0
    assert spent(made, []) == 0
    assert made.would_be(patients(20, 40), [ROUND, ROUND], delta=DELTA) == rounds(4)
    assert spent(made) == rounds(3), "to ask is not to spend"


CHARGES = st.lists(st.tuples(st.sets(st.integers(0, 5)), st.sampled_from([1.5, 4.0]), st.integers(0, 9)), max_size=6)


@settings(max_examples=25, deadline=None)
@given(CHARGES, st.sets(st.integers(0, 5), min_size=1), st.randoms(use_true_random=False))
def test_each_patient_has_what_all_charges_that_hold_him_add_up_to(
    tmp_path_factory: pytest.TempPathFactory,
    charges: list[tuple[set[int], float, int]],
    asked: set[int],
    rng: random.Random,
) -> None:
    """In any order: the largest over patients of what a plain loop over the charges finds for each of them."""
    made = ledger(tmp_path_factory.mktemp("ledger"))
    numbered = list(enumerate(charges))
    rng.shuffle(numbered)
    for number, (cohort, noise, steps) in numbered:
        made.charge(key(number), [str(each) for each in cohort], Spending(noise, 1.0, steps))
    alone = [
        epsilon_of(
            [Spending(noise, 1.0, n) for cohort, noise, n in charges if each in cohort and n],
            delta=DELTA,
            accountant="rdp",
        )
        for each in asked
    ]
    found = made.spent([str(each) for each in asked], delta=DELTA, accountant="rdp")
    assert found == pytest.approx(max(alone), rel=1e-9)


# The limit


def test_what_would_go_over_the_limit_is_refused_and_changes_no_byte(tmp_path: Path) -> None:
    made, limit = ledger(tmp_path), Limit(rounds(3), DELTA)
    for number in (1, 2, 3):
        made.charge(key(number), EVERYBODY, ROUND, limit=limit)
        made.settle(key(number))
    before = files_of(made)
    for members in (EVERYBODY, [*EVERYBODY[:1], "somebody new"]):
        with pytest.raises(RefusedError, match="PRIVACY_BUDGET_SPENT"):
            made.charge(key(4), members, ROUND, limit=limit)
    assert files_of(made) == before
    assert spent(made) == rounds(3)
    made.charge(key(4), ["somebody new"], ROUND, limit=limit)
    made.charge(key(4), EVERYBODY, ROUND, limit=Limit(rounds(4), DELTA))


def test_a_charge_that_is_there_is_taken_again_at_the_limit_and_not_under_a_lower_one(tmp_path: Path) -> None:
    made = ledger(tmp_path)
    for _ in range(2):
        made.charge(key(1), EVERYBODY, ROUND, limit=Limit(rounds(1), DELTA))
    with pytest.raises(RefusedError, match="PRIVACY_BUDGET_SPENT"):
        made.charge(key(1), EVERYBODY, ROUND, limit=Limit(0.999 * rounds(1), DELTA))
    assert spent(made) == rounds(1)


def test_the_first_charge_is_under_the_limit_too_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="PRIVACY_BUDGET_SPENT"):
        ledger(tmp_path).charge(key(1), EVERYBODY, ROUND, limit=Limit(0.1, DELTA))
    assert files_of(ledger(tmp_path)) == {}


# Without a guarantee


def test_studies_without_a_guarantee_are_noted_once_and_are_no_part_of_epsilon(tmp_path: Path) -> None:
    made = ledger(tmp_path)
    made.charge(key(1), EVERYBODY, ROUND)
    for _ in range(2):
        made.note_unprotected("sha256:open", EVERYBODY)
    made.note_unprotected("sha256:another", EVERYBODY)
    assert [each.study for each in made.read()[0].unprotected] == ["sha256:open", "sha256:another"]
    assert spent(made) == rounds(1)
    made.note_unprotected("sha256:open", EVERYBODY[1:])
    assert len(made.read()[0].unprotected) == 3, "other patients of the same study are others"


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as several:
        for number in range(24):
            several.submit(ledger(tmp_path).charge, key(number), EVERYBODY, ROUND)
    assert {each.key.round for each in ledger(tmp_path).read()[0].charges} == set(range(24))
