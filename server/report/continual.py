"""What a further phase did: gained on its own rows, forgot of those before. Paragraphs and tables of a report."""

from collections.abc import Mapping
from typing import Any  # results are JSON

from server.report.comparison import VERDICTS
from server.report.formats import count, signed, signed_interval
from server.report.layout import Cell, Table, difference_cell, score_cell, table
from server.report.lead import AUROC, Lead
from server.report.values import Estimate, estimate, section, verdict

MEANING = (
    "The same rows by the adapter that this phase began with, and by the one that it kept; a change above zero is a "
    "better model. Forgetting is a change below zero on validation rows of the phases before. Patients who tested a "
    "phase before test this one too, and never train."
)
_PARTS = (
    ("old", "validation", "Rows of the phases before, validation"),
    ("old", "test", "Rows of the phases before, test"),
    ("new", "validation", "Rows of this phase, validation"),
    ("new", "test", "Rows of this phase, test"),
)


def sentences(results: Mapping[str, Any]) -> list[str]:
    """Return what the phase gained and forgot, in words; nothing where the run was a first phase."""
    found = section(results, "continual")
    if not found:
        return []
    texts = [
        _sentence(
            "Forgetting, on validation rows of the phases before",
            estimate(found, "old", "validation", "change", "pooled"),
        ),
        _sentence("Gain, on test rows of this phase", estimate(found, "new", "test", "change", "pooled")),
    ]
    if found.get("reason"):
        texts[0] = f"Forgetting was not measured: {found['reason']}."
    return texts


def _sentence(what: str, change: Estimate) -> str:
    if change.value is None:
        return f"{what}: not measured ({change.reason or 'no rows'})."
    word = {"better": "better than before", "worse": "worse than before"}.get(verdict(change), "no clear change")
    return f"{what}: {signed(change.value)} (95 % interval {signed_interval(change)}; {count(change.n)} rows): {word}."


def tables(results: Mapping[str, Any], lead: Lead = AUROC) -> list[Table]:
    """Return a table for each kind of rows: before, after and the change, over all and by site."""
    found = section(results, "continual")
    return [
        _table(section(found, kind, split), title, lead)
        for kind, split, title in _PARTS
        if section(found, kind, split, "change", "sites")
    ]


def _table(part: Mapping[str, Any], title: str, lead: Lead) -> Table:
    places = [("All rows pooled", ("pooled",)), *((site, ("sites", site)) for site in section(part, "change", "sites"))]
    rows = [[Cell(name), *_cells(part, place, lead)] for name, place in places]
    return table(f"{title}: {lead.label}", ["Hospital", "Before", "After", "Change", "Rows", "The model is"], rows)


def _cells(part: Mapping[str, Any], place: tuple[str, ...], lead: Lead) -> list[Cell]:
    change = estimate(part, "change", *place)
    before, after = (score_cell(estimate(part, when, *place, lead.name)) for when in ("before", "after"))
    return [before, after, difference_cell(change), Cell(count(change.n)), VERDICTS[verdict(change)]]
