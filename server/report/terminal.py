"""The table that ends a run on the terminal, as rows of plain strings."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from server.report.lead import lead_of
from server.report.modes import present_modes
from server.report.values import Estimate, estimate, rounds_of, section, site_names, verdict

MOST_SITES = 8


def terminal_table(results: Mapping[str, Any]) -> list[list[str]]:
    """Return header and rows: modes against sites' leading metric on test rows, mean, pooled; then the benefit.

    Without a comparison the rows are of validation, before the first and after the last round. With more than
    MOST_SITES sites there are no columns for sites: the report has them.
    """
    comparison, lead = section(results, "comparison"), lead_of(results)
    sites = site_names(results)
    shown = sites if len(sites) <= MOST_SITES else []
    if not comparison:
        return _validation_rows(results, shown)
    modes = [_row(mode.short, section(comparison, *mode.path), shown, lead.name) for mode in present_modes(comparison)]
    rows = [[f"test {lead.label}", *shown, "mean", "pooled"], *modes]
    benefits = [estimate(comparison, "benefit", site) for site in shown]
    if any(benefit.value is not None for benefit in benefits):
        rows.append(["benefit of joining", *map(_signed, benefits), "", ""])
        rows.append(["joining is", *(_verdict_word(benefit) for benefit in benefits), "", ""])
    return rows


def _validation_rows(results: Mapping[str, Any], sites: Sequence[str]) -> list[list[str]]:
    lead = lead_of(results)
    rows = [[f"validation {lead.label}", *sites, "pooled"]]
    entries = rounds_of(results)
    evaluations = [("before round 1", section(results, "initial", "validation"))]
    evaluations += [(f"after round {entry.get('round')}", section(entry, "validation")) for entry in entries[-1:]]
    for name, found in evaluations:
        if found:
            rows.append(
                [name, *_row(name, found, sites, lead.name)[1:-2], _plain(estimate(found, "pooled", lead.name))]
            )
    return rows


def _row(name: str, mode: Mapping[str, Any], sites: Sequence[str], metric: str) -> list[str]:
    places = [("sites", site) for site in sites] + [("mean",), ("pooled",)]
    return [name, *(_plain(estimate(mode, *place, metric)) for place in places)]


def _plain(found: Estimate) -> str:
    return "-" if found.value is None else f"{found.value:.3f}"


def _signed(found: Estimate) -> str:
    return "-" if found.value is None else f"{found.value:+.3f}"


def _verdict_word(benefit: Estimate) -> str:
    return {"better": "better", "worse": "worse", "unclear": "unclear", "unknown": "-"}[verdict(benefit)]
