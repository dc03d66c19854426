from collections.abc import Iterator
from dataclasses import replace
from math import erf, inf, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.ledger import Ledger, Limit
from client.ledger_files import ChargeKey
from client.ledger_overview import MOST_ROUNDS, Group, Overview, found_patients, overview, right_guesses
from common.privacy._accounting import Spending, epsilon_of

DELTA = 1e-5
ROUND = Spending(3.0, 0.25, 8)
LIMIT = Limit(3.0, DELTA, "rdp")


def epsilon(number: float) -> float:
    return epsilon_of([replace(ROUND, steps=int(number * ROUND.steps))], delta=DELTA, accountant="rdp")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, None, b"", durable=False)


def charge(ledger: Ledger, study: str, number: int, patients: str, spending: Spending = ROUND) -> None:
    ledger.charge(ChargeKey(study, "run", number, "train", "request"), patients, spending)


def look(ledger: Ledger, limit: Limit = LIMIT) -> tuple[Group, ...]:
    return overview(*ledger.read(), limit).groups


def test_an_empty_ledger_has_no_groups(ledger: Ledger) -> None:
    assert look(ledger) == ()


def test_patients_in_the_same_cohorts_are_one_group(ledger: Ledger) -> None:
    for number in (1, 2):
        charge(ledger, "one", number, "abc")
    charge(ledger, "two", 1, "bcd")
    ledger.note_unprotected("open", "de")
    first, second, third, fourth = look(ledger)
    assert [each.patients for each in (first, second, third, fourth)] == [2, 1, 1, 1]
    assert [each.epsilon for each in (first, second, third, fourth)] == [epsilon(3), epsilon(2), epsilon(1), 0]
    assert [(each.study, each.rounds, each.epsilon) for each in first.studies] == [
        ("one", 2, epsilon(2)),
        ("two", 1, epsilon(1)),
    ]
    assert [each.unprotected for each in (first, second, third, fourth)] == [(), (), ("open",), ("open",)]
    assert (fourth.studies, fourth.rounds_left) == ((), None)


def test_several_charges_of_one_round_are_one_round(ledger: Ledger) -> None:
    charge(ledger, "one", 1, "ab")
    charge(ledger, "one", 1, "ab", Spending(9.0, 1.0, 1))
    (group,) = look(ledger)
    assert [each.rounds for each in group.studies] == [1]


@pytest.mark.parametrize("done", [1, 4])
def test_so_many_rounds_are_left_as_really_fit(ledger: Ledger, done: int) -> None:
    for number in range(done):
        charge(ledger, "one", number, "ab")
    (group,) = look(ledger)
    assert group.rounds_left is not None
    assert epsilon(done + group.rounds_left) <= LIMIT.epsilon < epsilon(done + group.rounds_left + 1)
    (spent,) = look(ledger, replace(LIMIT, epsilon=epsilon(done) * 0.9))
    assert spent.rounds_left == 0
    (open_end,) = look(ledger, replace(LIMIT, epsilon=1e6))
    assert open_end.rounds_left == MOST_ROUNDS


def test_a_value_without_a_bound_is_null() -> None:
    found = Overview(LIMIT, (Group(3, inf, (), 0, ()),)).to_json()
    assert found["groups"] == ({"patients": 3, "epsilon": None, "studies": (), "rounds_left": 0, "unprotected": ()},)


# What a bound means


@given(st.floats(0, 20), st.floats(0, 0.5), st.floats(0, 1))
def test_bounds_are_shares_and_no_worse_than_chance(eps: float, delta: float, wrongly: float) -> None:
    hit = found_patients(eps, delta, wrongly=wrongly)
    assert wrongly - 1e-12 <= hit <= 1
    assert 0.5 <= right_guesses(eps, delta) <= 1
    assert (hit + 1 - wrongly) / 2 <= right_guesses(eps, delta) + 1e-12, "that is the best of all tests"


def best_tests_of_a_number(mu: float) -> Iterator[tuple[float, float]]:
    """Yield (wrongly, found) of the best tests whether a number is of N(mu, 1) and not of N(0, 1)."""
    for threshold in np.linspace(-4, 6, 41):
        yield tuple((1 - erf((threshold - mean) / sqrt(2))) / 2 for mean in (0.0, mu))


@pytest.mark.parametrize("mu", [0.2, 1.0, 3.0])
def test_the_best_test_of_a_gaussian_is_within_what_its_epsilon_allows(mu: float) -> None:
    eps = epsilon_of([Spending(1 / mu, 1.0, 1)], delta=DELTA)
    for wrongly, hit in best_tests_of_a_number(mu):
        assert hit <= found_patients(eps, DELTA, wrongly=wrongly) + 1e-9
        assert (hit + 1 - wrongly) / 2 <= right_guesses(eps, DELTA)


def test_no_epsilon_is_too_large() -> None:
    assert right_guesses(inf, DELTA) == found_patients(inf, DELTA, wrongly=0.01) == 1
