"""The tables of who the patients are: counts with percent, means with standard deviations, at each hospital and all."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from common.cohort_statistics import MISSING
from server.report.formats import DASH, count, percent
from server.report.layout import Cell, Table, table
from server.report.values import find, number, section

MOST_SITES = 12
HIDDEN_NOTE = "hidden: fewer patients than may be told of, or a number that would tell of them"
PART_NOTE = "at least: some hospital's part is hidden"
SOME_NOTE = "of the hospitals that tell it; at some it is hidden"


def cohort_table(results: Mapping[str, Any], sites: Sequence[str]) -> Table | None:
    """One row for each characteristic, one column for each hospital and one for all; None where none was told.

    Beyond MOST_SITES hospitals only the column of all.
    """
    cohort = section(results, "cohort")
    if not cohort:
        return None
    told = [site for site in sites if find(cohort, "sites", site) is not None]
    shown = told if len(told) <= MOST_SITES else []
    pooled = section(cohort, "pooled")
    rows = [
        [Cell(name), *(_size(section(cohort, "sites", s), name) for s in shown), _pooled_size(pooled, name)]
        for name in ("Rows", "Patients")
    ]
    for name in section(pooled, "labels"):
        rows.append(_counts(cohort, shown, ("labels",), name, _label_name(results, name)))
    for column in section(pooled, "numbers"):
        rows.append(_numbers(cohort, shown, column))
    for column, levels in section(pooled, "categories").items():
        rows += [
            _counts(cohort, shown, ("categories", column), name, f"{column}: {name}")
            for name in levels
            if _is_known(cohort, told, ("categories", column, name))
        ]
    header = ["All rows of a hospital", *shown, "All hospitals"]
    return table("Rows and percent of them; mean and, below, standard deviation of numbers", header, rows)


def _label_name(results: Mapping[str, Any], name: str) -> str:
    return f"{find(results, 'study', 'task', 'target') or 'label'}: {name}"


def _is_known(cohort: Mapping[str, Any], sites: Sequence[str], path: tuple[str, ...]) -> bool:
    """Whether a level needs a line: it has rows, or, where it is no missing value, is hidden, at some hospital."""
    if path[-1] == MISSING:
        return any(number(cohort, "sites", site, *path) for site in sites)
    return any(
        find(cohort, "sites", site, *path[:-1]) is None or find(cohort, "sites", site, *path) != 0 for site in sites
    )


def _size(site: Mapping[str, Any], name: str) -> Cell:
    value = number(site, name.lower())
    return Cell(count(value)) if value is not None else _hidden()


def _pooled_size(pooled: Mapping[str, Any], name: str) -> Cell:
    return _total_cell(section(pooled, name.lower()), None)


def _counts(
    cohort: Mapping[str, Any], sites: Sequence[str], path: tuple[str, ...], name: str, label: str
) -> list[Cell]:
    cells = []
    for site in sites:
        found = section(cohort, "sites", site)
        value = number(found, *path, name)
        if value is None and name not in section(found, *path) and section(found, *path):
            value = 0.0
        cells.append(_hidden() if value is None else _share(value, number(found, "rows")))
    pooled = section(cohort, "pooled")
    rows = number(pooled, "rows", "rows") if number(pooled, "rows", "hidden_at") == 0 else None
    return [Cell(label), *cells, _total_cell(section(pooled, *path, name), rows)]


def _share(value: float, rows: float | None) -> Cell:
    return Cell(count(value), percent(value / rows) if rows else "")


def _total_cell(total: Mapping[str, Any], rows: float | None) -> Cell:
    value, hidden_at = number(total, "rows"), number(total, "hidden_at")
    if value is None or (value == 0 and hidden_at):
        return _hidden()
    if hidden_at:
        return Cell(f"\N{GREATER-THAN OR EQUAL TO} {count(value)}", note=PART_NOTE)
    return _share(value, rows)


def _numbers(cohort: Mapping[str, Any], sites: Sequence[str], column: str) -> list[Cell]:
    cells = [_number_cell(section(cohort, "sites", site, "numbers", column), "") for site in sites]
    pooled = section(cohort, "pooled", "numbers", column)
    return [Cell(f"{column}, mean"), *cells, _number_cell(pooled, SOME_NOTE if number(pooled, "hidden_at") else "")]


def _number_cell(found: Mapping[str, Any], note: str) -> Cell:
    mean, deviation, known = number(found, "mean"), number(found, "sd"), number(found, "n")
    if known is None:
        return _hidden()
    if mean is None:
        return Cell(DASH, note="no value", tone="muted")
    return Cell(f"{mean:.4g}", f"\N{PLUS-MINUS SIGN} {deviation:.3g}" if deviation is not None else "", note)


def _hidden() -> Cell:
    return Cell("hidden", note=HIDDEN_NOTE, tone="muted")


def hidden_count(results: Mapping[str, Any]) -> int:
    """Return how many of the hospitals' cells are hidden."""
    return sum(_hidden_in(site) for site in section(results, "cohort", "sites").values())


def _hidden_in(site: Mapping[str, Any]) -> int:
    if site.get("rows") is None:
        return 1
    tables = [section(site, "labels"), *section(site, "categories").values()]
    cells = sum(value is None for each in tables for value in each.values())
    return cells + sum(each.get("n") is None for each in section(site, "numbers").values())
