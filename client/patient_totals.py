"""What single patients have spent, from what was charged of cohorts: pure functions over names and numbers.

Every charge of a cohort counts in full for each of its patients, so what a patient has spent is the composition of all
charges of all cohorts that hold him (Dwork and Roth 2014, section 3.5,
https://www.cis.upenn.edu/~aaroth/Papers/privacybook.pdf); patients in the same cohorts have spent the same.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from common.privacy._accounting import Accountant, Spending, epsilon_of

Cohorts = frozenset[str]
"""Names of the cohorts that hold one patient."""


def groups_of(patients: Collection[str], cohorts: Mapping[str, Collection[str]]) -> Counter[Cohorts]:
    """Return how many of `patients` are in each set of cohorts, given the members of each cohort.

    >>> groups_of({"a", "b", "c"}, {"x": {"a", "b"}, "y": {"b", "z"}})[frozenset({"x", "y"})]
    1
    """
    return Counter(frozenset(name for name, members in cohorts.items() if patient in members) for patient in patients)


def merged(spendings: Iterable[Spending]) -> tuple[Spending, ...]:
    """Return the same spendings with equal steps added up, in one order: the total does not depend on another.

    >>> merged([Spending(2.0, 0.5, 3), Spending(1.0, 0.5, 1), Spending(2.0, 0.5, 4)])[1].steps
    7
    """
    steps: Counter[tuple[float, float]] = Counter()
    for each in spendings:
        steps[each.noise_multiplier, each.sampling_probability] += each.steps
    return tuple(Spending(noise, sampled, n) for (noise, sampled), n in sorted(steps.items()) if n)


def total_epsilon(spendings: Iterable[Spending], *, delta: float, accountant: Accountant = "pld") -> float:
    """Return epsilon at `delta` of all these together, in whatever order they came."""
    return epsilon_of(merged(spendings), delta=delta, accountant=accountant)
