"""The table that ends a run on the terminal, as rows of plain strings."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from server.report.modes import present_modes
from server.report.values import HEADLINE, Estimate, estimate, rounds_of, section, site_names, verdict

MOST_SITES = 8


def terminal_table(results: Mapping[str, Any]) -> list[list[str]]:
    """Return header and rows: modes against sites' AUROC on test rows, mean, pooled; then the benefit of joining.

    Without a comparison the rows are validation AUROC before the first and after the last round. With more than
    MOST_SITES sites there are no columns for sites: the report has them.
    """
    comparison = section(results, "comparison")
    sites = site_names(results)
    shown = sites if len(sites) <= MOST_SITES else []
    if not comparison:
        return _validation_rows(results, shown)
    modes = [_row(mode.short, section(comparison, *mode.path), shown) for mode in present_modes(comparison)]
    rows = [["test AUROC", *shown, "mean", "pooled"], *modes]
    benefits = [estimate(comparison, "benefit", site) for site in shown]
    if any(benefit.value is not None for benefit in benefits):
        rows.append(["benefit of joining", *map(_signed, benefits), "", ""])
        rows.append(["joining is", *(_verdict_word(benefit) for benefit in benefits), "", ""])
    return rows


def _validation_rows(results: Mapping[str, Any], sites: Sequence[str]) -> list[list[str]]:
    rows = [["validation AUROC", *sites, "pooled"]]
    entries = rounds_of(results)
    evaluations = [("before round 1", section(results, "initial", "validation"))]
    evaluations += [(f"after round {entry.get('round')}", section(entry, "validation")) for entry in entries[-1:]]
    for name, found in evaluations:
        if found:
            rows.append([name, *_row(name, found, sites)[1:-2], _plain(estimate(found, "pooled", HEADLINE))])
    return rows


def _row(name: str, mode: Mapping[str, Any], sites: Sequence[str]) -> list[str]:
    places = [("sites", site) for site in sites] + [("mean",), ("pooled",)]
    return [name, *(_plain(estimate(mode, *place, HEADLINE)) for place in places)]


def _plain(found: Estimate) -> str:
    return "-" if found.value is None else f"{found.value:.3f}"


def _signed(found: Estimate) -> str:
    return "-" if found.value is None else f"{found.value:+.3f}"


def _verdict_word(benefit: Estimate) -> str:
    return {"better": "better", "worse": "worse", "unclear": "unclear", "unknown": "-"}[verdict(benefit)]
