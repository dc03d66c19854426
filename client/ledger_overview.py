"""What the privacy ledger says of groups of patients in the same cohorts: spent, by which studies, what is left."""

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import exp, inf
from typing import Final

from client.ledger import Limit
from client.ledger_files import Book, Charge
from client.patient_totals import Cohorts, groups_of, total_epsilon
from common.privacy._accounting import Spending

MOST_ROUNDS: Final = 100
"""Beyond so many, how many more rounds fit is not looked for."""


@dataclass(frozen=True)
class StudyPart:
    """What one study (its digest) has spent of each patient of a group. epsilon: as if it were the only one."""

    study: str
    rounds: int
    epsilon: float


@dataclass(frozen=True)
class Group:
    """Patients that have spent the same. epsilon: of all studies together, which is less than the sum over studies.

    rounds_left: how often the last round would fit once more, up to MOST_ROUNDS; None where nothing was charged.
    unprotected: digests of the studies that answered about them without a guarantee; what those tell has no bound.
    """

    patients: int
    epsilon: float
    studies: tuple[StudyPart, ...]
    rounds_left: int | None
    unprotected: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """The groups under a limit, who has spent most first."""

    limit: Limit
    groups: tuple[Group, ...]

    def to_json(self) -> dict[str, object]:
        """Return a value for machines; an epsilon without a bound is null."""
        return asdict(self, dict_factory=lambda pairs: {name: None if value == inf else value for name, value in pairs})


def overview(book: Book, cohorts: Mapping[str, Collection[str]], limit: Limit) -> Overview:
    """Return what a ledger holds, by groups of patients; `cohorts` are the members of each cohort."""
    found = groups_of(frozenset().union(*cohorts.values()), cohorts)
    groups = (_group(book, names, patients, limit) for names, patients in found.items())
    return Overview(limit, tuple(sorted(groups, key=lambda each: (-each.epsilon, -each.patients))))


def _group(book: Book, names: Cohorts, patients: int, limit: Limit) -> Group:
    charges = [each for each in book.charges if each.cohort in names]
    studies = dict.fromkeys(each.key.study for each in charges)
    return Group(
        patients=patients,
        epsilon=_epsilon([each.spending for each in charges], limit),
        studies=tuple(_study_part(study, charges, limit) for study in studies),
        rounds_left=_rounds_left(charges, limit) if charges else None,
        unprotected=tuple(dict.fromkeys(each.study for each in book.unprotected if each.cohort in names)),
    )


def _study_part(study: str, charges: Sequence[Charge], limit: Limit) -> StudyPart:
    own = [each for each in charges if each.key.study == study]
    rounds = {(each.key.run, each.key.round) for each in own}
    return StudyPart(study, len(rounds), _epsilon([each.spending for each in own], limit))


def _rounds_left(charges: Sequence[Charge], limit: Limit) -> int:
    """Return how many rounds such as the last one fit: epsilon never falls with them, so bisection finds it."""
    last = charges[-1].key
    of_last = (last.study, last.run, last.round)
    once = [each.spending for each in charges if (each.key.study, each.key.run, each.key.round) == of_last]
    after = partial(_after, [each.spending for each in charges], once, limit)
    known = 1
    while known <= MOST_ROUNDS and after(known) <= limit.epsilon:
        known *= 2  # few rounds are quickly computed, and mostly it is few that are left
    return bisect_right(range(min(known, MOST_ROUNDS + 1)), limit.epsilon, lo=(known + 1) // 2, key=after) - 1


def _after(spent: Sequence[Spending], once: Sequence[Spending], limit: Limit, rounds: int) -> float:
    return _epsilon([*spent, *(rounds * list(once))], limit)


def _epsilon(spendings: Sequence[Spending], limit: Limit) -> float:
    return total_epsilon(spendings, delta=limit.delta, accountant=limit.accountant)


def right_guesses(epsilon: float, delta: float) -> float:
    """Return how often, at most, a guess whether a patient's rows were in it is right, where both are as likely.

    From what (epsilon, delta) allows of any test (Kairouz, Oh and Viswanath 2015, https://arxiv.org/abs/1311.0776).

    >>> round(right_guesses(1.0, 0.0), 3), right_guesses(0.0, 0.0)
    (0.731, 0.5)
    """
    return 1 - (1 - delta) / (1 + exp(min(epsilon, 700.0)))


def found_patients(epsilon: float, delta: float, *, wrongly: float) -> float:
    """Return the largest share of patients in it that a test finds, if it names `wrongly` of those who are not.

    From the same source. At epsilon 1 and 1 %:

    >>> round(found_patients(1.0, 0.0, wrongly=0.01), 4)
    0.0272
    """
    odds = exp(min(epsilon, 700.0))
    return min(1.0, odds * wrongly + delta, 1 - (1 - delta - wrongly) / odds)
