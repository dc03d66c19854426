"""Which subgroup each row is in, by the study's own words and cuts: no rows choose where one ends."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any  # a column holds numbers or words

from common.cohort_statistics import MISSING, category_levels
from common.data_schema import CategoryColumn, NumberColumn
from common.study import Study


def subgroup_levels(
    study: Study, features: Mapping[str, Sequence[Any]], patients: Sequence[str], *, least: int
) -> dict[str, tuple[list[str], list[str]]]:
    """Return, for each of the study's subgroup columns, each row's level (n,) and all its levels."""
    found = {}
    for name in study.evaluation.subgroups:
        column = study.data.columns[name]
        if isinstance(column, CategoryColumn):
            found[name] = category_levels(features[name], column, patients, least=least)
        elif isinstance(column, NumberColumn):
            found[name] = number_levels(features[name], column, study.evaluation.subgroup_cuts.get(name, ()))
    return found


def number_levels(
    values: Sequence[float | None], column: NumberColumn, cuts: Sequence[float]
) -> tuple[list[str], list[str]]:
    """Return each value's level and all levels: between `cuts`, else the column's own words.

    >>> number_levels([49.0, 50.0, None], NumberColumn(type="number"), (50, 65))
    (['under 50', '50 to under 65', 'missing'], ['under 50', '50 to under 65', '65 or more', 'missing'])
    """
    names = [*(cut_names(cuts) if cuts else column.words), MISSING]
    edges = list(cuts or column.cut_points)
    return [MISSING if value is None else names[bisect_right(edges, value)] for value in values], names


def cut_names(cuts: Sequence[float]) -> list[str]:
    """Return the names of the parts that `cuts` make; a value equal to a cut belongs above it."""
    between = [f"{low:g} to under {high:g}" for low, high in pairwise(cuts)]
    return [f"under {cuts[0]:g}", *between, f"{cuts[-1]:g} or more"]
