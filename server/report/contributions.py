"""The table of what each hospital's taking part is worth, to itself and to the others."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from server.report.comparison import VERDICTS
from server.report.layout import Cell, Table, difference_cell, score_cell, table
from server.report.lead import Lead
from server.report.values import estimate, find, section, verdict

MEANING = (
    "The federation was run again without each hospital in turn, and scored at all of them. A difference above zero "
    "says that the model is better with that hospital in it."
)


def contributions_table(results: Mapping[str, Any], sites: Sequence[str], lead: Lead) -> Table | None:
    """One row for each hospital left out; None where this was not tried."""
    found = section(results, "contributions", "sites")
    if not found:
        return None
    rows = [_row(section(found, site), site) for site in sites if site in found]
    header = [
        "Without",
        f"Mean {lead.label} with all",
        "Without it",
        "Difference",
        "At the others",
        "At itself",
        "With it, the mean is",
    ]
    return table(f"{lead.label} with and without each hospital", header, rows)


def _row(found: Mapping[str, Any], site: str) -> list[Cell]:
    reason = find(found, "reason")
    if reason:
        return [Cell(site), *[Cell("\N{EN DASH}", note=str(reason), tone="muted")] * 5, VERDICTS["unknown"]]
    difference = estimate(found, "mean", "difference")
    return [
        Cell(site),
        score_cell(estimate(found, "mean", "with")),
        score_cell(estimate(found, "mean", "without")),
        difference_cell(difference),
        difference_cell(estimate(found, "others")),
        difference_cell(estimate(found, "sites", site, "difference")),
        VERDICTS[verdict(difference)],
    ]
