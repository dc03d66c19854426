"""The table of subgroups: the leading metric in parts of the test rows, over all hospitals and at each."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from common.cohort_statistics import MISSING
from server.report.cohort import MOST_SITES
from server.report.layout import Cell, Table, score_cell, table
from server.report.lead import Lead
from server.report.values import estimate, section


def subgroups_table(results: Mapping[str, Any], sites: Sequence[str], lead: Lead) -> Table | None:
    """One row for each subgroup that some hospital has; None where none was examined."""
    found = section(results, "subgroups")
    if not found:
        return None
    told = [site for site in sites if site in section(found, "sites")]
    shown = told if len(told) <= MOST_SITES else []
    names = [name for name in section(found, "pooled") if _is_worth_a_line(found, name, lead)]
    rows = [
        [
            Cell(name.replace("=", ": ")),
            score_cell(estimate(found, "pooled", name, lead.name)),
            *(_at_site(section(found, "sites", site), name, lead) for site in shown),
        ]
        for name in names
    ]
    return table(f"{lead.label} of the joint model on parts of the test rows", ["Subgroup", "Pooled", *shown], rows)


def _is_worth_a_line(found: Mapping[str, Any], name: str, lead: Lead) -> bool:
    """A part of rows without a value is none of the study's own: hidden everywhere, it says nothing."""
    sites = section(found, "sites")
    shown = any(estimate(sites, site, name, lead.name).value is not None for site in sites)
    return shown or not name.endswith(f"={MISSING}")


def _at_site(levels: Mapping[str, Any], name: str, lead: Lead) -> Cell:
    return score_cell(estimate(levels, name, lead.name), missing="no such row" if name not in levels else "")


def hidden_subgroups(results: Mapping[str, Any]) -> int:
    """Return how many subgroups of single hospitals are hidden."""
    patients = section(results, "subgroups", "patients")
    return sum(value is None for levels in patients.values() for value in levels.values())
