"""Who a site's patients are, in counts and sums that add over sites; small cells are hidden, and others with them.

A cell of fewer patients than `least` is hidden (but not an empty one). Where what remains of the total would give it
away, further cells are hidden too, the smallest first (complementary suppression: Cox 1980,
https://doi.org/10.1080/01621459.1980.10477481). We add what a reader who knows this very rule could use: cells are
hidden together only while their counts differ and they hold `least` patients in all, cells of equal size are hidden
together, and where nothing but empty cells would remain, none does. Then the counts of hidden cells can be exchanged
among them without any change of what is released, so that no hidden count is the only one that fits: for `least` of 3
and more. What is guaranteed is that, of one table and its total; that a hidden count lies in a range is known, and who
sees the tables of two times, between which a patient came, or of two cuts, can compare them.

The sums of a number with few different values are its counts: of 0 and 1 the sum is how many have 1. So they are hidden
where one of these values is of few patients.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from math import sqrt
from typing import Any, Final  # a column holds numbers or words

import numpy as np
from numpy.typing import NDArray

from common.data_schema import CategoryColumn, Column, NumberColumn

Counts = Mapping[str, int | None]
"""Rows by cell; None is hidden."""
Mask = NDArray[np.bool_]
MISSING, OTHER, KNOWN = "missing", "other values", "known"
MOST_LEVELS: Final = 50
"""Of a category whose values the study does not list."""
FEW_VALUES: Final = 10
"""So many different numbers, or fewer, are as the values of a category."""
LARGEST_SUM: Final = 1e150
"""Of absolute values: squares of it are numbers, and so are sums of such over a thousand sites."""


@dataclass(frozen=True)
class Cell:
    """Rows of a cell and the distinct patients that they are of; `few`: it is to be hidden whatever its size."""

    rows: int
    patients: int
    few: bool = False


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: rows with and without a value, sum and sum of squares; all None where hidden."""

    n: int | None = None
    missing: int | None = None
    total: float | None = None
    squares: float | None = None

    @property
    def mean(self) -> float | None:
        """The mean of the values."""
        return None if self.total is None or not self.n else self.total / self.n

    @property
    def deviation(self) -> float | None:
        """The standard deviation, with n - 1; None for fewer than two values."""
        if self.total is None or self.squares is None or self.n is None or self.n < 2:
            return None
        return sqrt(max(0.0, self.squares - self.total**2 / self.n) / (self.n - 1))


@dataclass(frozen=True)
class Cohort:
    """What a site says of all its rows: training, validation and test together.

    rows, patients: None, and nothing else said, for fewer than `small_cell` patients.
    """

    small_cell: int
    rows: int | None = None
    patients: int | None = None
    labels: Counts | None = None
    categories: Mapping[str, Counts] | None = None
    numbers: Mapping[str, Numbers] | None = None


def _always(_: Iterable[str]) -> bool:
    return True


def hidden(
    cells: Mapping[str, Cell], *, least: int, may_be_told: Callable[[Iterable[str]], bool] = _always
) -> frozenset[str]:
    """Return the cells of one table to hide, where the total of their rows is known.

    may_be_told: whether these cells, taken together, may be told of; what is told of all but the hidden ones tells it.

    >>> sorted(hidden({"a": Cell(3, 3), "b": Cell(20, 20), "c": Cell(40, 40)}, least=10))
    ['a', 'b']
    """
    filled = {name: cell for name, cell in cells.items() if cell.rows}
    chosen = {name for name, cell in filled.items() if cell.few or cell.patients < least}
    while chosen and not (_can_be_exchanged([cells[name] for name in chosen], least) and may_be_told(chosen)):
        rest = {name: (cell.patients, cell.rows) for name, cell in filled.items() if name not in chosen}
        if not rest:
            break
        chosen |= {name for name, size in rest.items() if size == min(rest.values())}
    return frozenset(cells) if len(chosen) == len(filled) and chosen else frozenset(chosen)


def _can_be_exchanged(cells: Sequence[Cell], least: int) -> bool:
    return len({cell.rows for cell in cells}) > 1 and sum(cell.patients for cell in cells) >= least


def suppressed(cells: Mapping[str, Cell], *, least: int) -> dict[str, int | None]:
    """Return the rows of each cell, None for the hidden ones."""
    gone = hidden(cells, least=least)
    return {name: None if name in gone else cell.rows for name, cell in cells.items()}


def cell_of(mask: Mask, patients: Sequence[str], *, few: bool = False) -> Cell:
    """Return the cell of the rows that `mask` (n,) marks."""
    return Cell(int(mask.sum()), len(set(compress(patients, mask))), few)


def cells_of(levels: Sequence[str], names: Iterable[str], patients: Sequence[str]) -> dict[str, Cell]:
    """Return the cell of each name among the rows' levels (n,)."""
    found = np.asarray(levels, dtype=object)
    return {name: cell_of(np.asarray(found == name, dtype=bool), patients) for name in names}


def category_levels(
    values: Sequence[Any], column: CategoryColumn, patients: Sequence[str], *, least: int
) -> tuple[list[str], list[str]]:
    """Return each row's level (n,), and all levels: those that the study lists, and that of a missing value.

    Where the study lists none, a value is named only if `least` patients have it: others are one level, `other values`.
    """
    levels = [MISSING if value is None else str(value) for value in values]
    if column.mapping:
        return levels, [*dict.fromkeys(column.mapping.values()), MISSING]
    cells = cells_of(levels, sorted(set(levels) - {MISSING}), patients)
    by_size = sorted(cells, key=lambda name: (-cells[name].patients, name))[:MOST_LEVELS]
    named = sorted(name for name in by_size if cells[name].patients >= max(least, 1) and name != OTHER)
    return [each if each in {*named, MISSING} else OTHER for each in levels], [*named, OTHER, MISSING]


def number_summary(values: Sequence[float | None], patients: Sequence[str], *, least: int) -> Numbers:
    """Return count, sum and sum of squares; nothing where too few patients have a value, have none, or have one of few.

    >>> number_summary([1.0, 3.0, None], ["a", "b", "c"], least=0)
    Numbers(n=2, missing=1, total=4.0, squares=10.0)
    """
    known = np.array([value is not None for value in values], dtype=bool)
    counts = suppressed({KNOWN: cell_of(known, patients), MISSING: cell_of(~known, patients)}, least=least)
    if counts[KNOWN] is None or counts[MISSING] is None:
        return Numbers()
    found = np.array([value for value in values if value is not None], dtype=np.float64)
    is_too_large = len(found) > 0 and float(np.abs(found).max()) > LARGEST_SUM / len(found)
    if is_too_large or tells_of_few(found, list(compress(patients, known)), least=least):
        return Numbers()
    return Numbers(counts[KNOWN], counts[MISSING], float(found.sum()), float(np.square(found).sum()))


def tells_of_few(found: NDArray[np.float64], patients: Sequence[str], *, least: int) -> bool:
    """Whether numbers (n,) are few different ones that patients share, one of them of fewer patients than `least`.

    >>> tells_of_few(np.array([0.0] * 18 + [1.0] * 2), [str(i) for i in range(20)], least=10)
    True
    """
    different = np.unique(found)
    if len(different) > FEW_VALUES or 2 * len(different) > len(set(patients)):
        return False
    return any(cell_of(np.asarray(found == value), patients).patients < least for value in different)


def release(
    patients: Sequence[str],
    features: Mapping[str, Sequence[Any]],
    columns: Mapping[str, Column],
    groups: Mapping[str, Mask],
    *,
    least: int,
) -> Cohort:
    """Return what a site may say of its rows.

    Args:
        patients: (n,) the patient of each row. features: each column's typed values (n,). columns: of the study.
        groups: the rows (n,) of each label; of tasks whose rows have several, each label is a table of its own.
        least: fewer patients are not told of; 0 hides nothing.
    """
    everyone = len(set(patients))
    if everyone < max(least, 1):
        return Cohort(least)
    categories, numbers = {}, {}
    for name, column in columns.items():
        if isinstance(column, CategoryColumn) and name in features:
            levels, names = category_levels(features[name], column, patients, least=least)
            categories[name] = suppressed(cells_of(levels, names, patients), least=least)
        elif isinstance(column, NumberColumn) and name in features:
            numbers[name] = number_summary(features[name], patients, least=least)
    labels = label_counts(groups, patients, least=least)
    return Cohort(least, len(patients), everyone, labels, categories, numbers)


def label_counts(groups: Mapping[str, Mask], patients: Sequence[str], *, least: int) -> dict[str, int | None]:
    """Return the rows of each label; where labels overlap, of each against the rows without it."""
    cells = {name: cell_of(mask, patients) for name, mask in groups.items()}
    if sum(cell.rows for cell in cells.values()) == len(patients):
        return suppressed(cells, least=least)
    return {
        name: suppressed({KNOWN: cells[name], OTHER: cell_of(~mask, patients)}, least=least)[KNOWN]
        for name, mask in groups.items()
    }
