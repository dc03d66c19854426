"""The patients of all sites together: sums of what the sites released, and of nothing else.

So a total tells no more than the sites did. One to which some site's part is missing is a least number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from common.cohort_statistics import Cohort, Counts, Numbers


@dataclass(frozen=True)
class Total:
    """Rows at the sites that told them, and at how many sites the number is hidden."""

    rows: int
    hidden_at: int = 0


@dataclass(frozen=True)
class NumbersTotal:
    """A column's numbers over the sites that told them, and at how many they are hidden."""

    numbers: Numbers
    hidden_at: int = 0


@dataclass(frozen=True)
class Pooled:
    """What `Cohort` is of one site, of several."""

    rows: Total
    patients: Total
    labels: Mapping[str, Total]
    categories: Mapping[str, Mapping[str, Total]]
    numbers: Mapping[str, NumbersTotal]


def add(cohorts: Sequence[Cohort]) -> Pooled:
    """Return the sums over sites; patients are counted at each site."""
    return Pooled(
        rows=total([each.rows for each in cohorts]),
        patients=total([each.patients for each in cohorts]),
        labels=counts_of([each.labels for each in cohorts]),
        categories={
            name: counts_of([(each.categories or {}).get(name) for each in cohorts])
            for name in _names([each.categories for each in cohorts])
        },
        numbers={
            name: numbers_of([(each.numbers or {}).get(name, Numbers()) for each in cohorts])
            for name in _names([each.numbers for each in cohorts])
        },
    )


def total(values: Sequence[int | None]) -> Total:
    """Return the sum of what is known.

    >>> total([120, None, 80])
    Total(rows=200, hidden_at=1)
    """
    known = [value for value in values if value is not None]
    return Total(sum(known), len(values) - len(known))


def counts_of(found: Sequence[Counts | None]) -> dict[str, Total]:
    """Return the total of each cell. A site that told its table without a cell has no row in it."""
    return {name: total([None if each is None else each.get(name, 0) for each in found]) for name in _names(found)}


def numbers_of(found: Sequence[Numbers]) -> NumbersTotal:
    """Return the sums over the sites that told them; all None where none did."""
    known = [each for each in found if each.n is not None]
    if not known:
        return NumbersTotal(Numbers(), len(found))

    def summed(value: Callable[[Numbers], float | None]) -> float:
        return sum(value(each) or 0 for each in known)

    sums = Numbers(
        n=int(summed(lambda each: each.n)),
        missing=int(summed(lambda each: each.missing)),
        total=summed(lambda each: each.total),
        squares=summed(lambda each: each.squares),
    )
    return NumbersTotal(sums, len(found) - len(known))


def _names(found: Sequence[Mapping[str, object] | None]) -> list[str]:
    return list(dict.fromkeys(name for each in found for name in each or {}))
