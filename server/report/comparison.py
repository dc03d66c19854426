"""Tables of the comparison: modes against sites, who gains by joining, who trained what, scored where."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from server.report.formats import count
from server.report.layout import Cell, Table, difference_cell, score_cell, table
from server.report.lead import AUROC, Lead
from server.report.modes import present_modes
from server.report.values import Verdict, estimate, find, section, verdict

VERDICTS: Mapping[Verdict, Cell] = {
    "better": Cell("\N{BLACK UP-POINTING TRIANGLE} better", tone="good"),
    "worse": Cell("\N{BLACK DOWN-POINTING TRIANGLE} worse", tone="bad"),
    "unclear": Cell("\N{WHITE CIRCLE} no clear difference", tone="muted"),
    "unknown": Cell("not measured", tone="muted"),
}


def modes_table(comparison: Mapping[str, Any], sites: Sequence[str], lead: Lead = AUROC) -> Table:
    """The leading metric on test rows of each mode: mean over sites, over the pooled rows, and at each site."""
    rows = []
    for mode in present_modes(comparison):
        places = [(*mode.path, "mean"), (*mode.path, "pooled")] + [(*mode.path, "sites", site) for site in sites]
        cells = [score_cell(estimate(comparison, *p, lead.name), missing="not measured") for p in places]
        rows.append([Cell(mode.name), *cells])
    header = ["Trained as", "Mean over hospitals", "Pooled rows", *sites]
    return table(f"{lead.label} on test rows, 95 % intervals below", header, rows)


def metrics_table(
    comparison: Mapping[str, Any], scope: str, labels: Mapping[str, str], lead: Lead = AUROC
) -> Table | None:
    """Every metric of every mode over one scope, `pooled` or `mean`; None where there is none but the leading one."""
    modes = present_modes(comparison)
    names = _metric_names([section(comparison, *mode.path, scope) for mode in modes], labels)
    rows = [
        [Cell(mode.name), *(score_cell(estimate(comparison, *mode.path, scope, m)) for m, _ in names)] for mode in modes
    ]
    title = {"pooled": "All metrics over the pooled test rows", "mean": "All metrics, mean over hospitals"}[scope]
    return (
        table(title, ["Trained as", *(label for _, label in names)], rows)
        if any(key != lead.name for key, _ in names)
        else None
    )


def _metric_names(found: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[tuple[str, str]]:
    keys = {key for metrics in found for key in metrics}
    known = [(key, label) for key, label in labels.items() if key in keys]
    return known + [(key, key) for key in sorted(keys - labels.keys())]


def benefit_table(comparison: Mapping[str, Any], sites: Sequence[str], lead: Lead = AUROC) -> Table | None:
    """Per site: own model, joint model, difference with its interval and what it shows; None without differences."""
    if not section(comparison, "benefit"):
        return None
    rows = []
    for site in sites:
        benefit = estimate(comparison, "benefit", site)
        own = score_cell(estimate(comparison, "local", "sites", site, lead.name))
        joint = score_cell(estimate(comparison, "federated", "sites", site, lead.name))
        word = VERDICTS[verdict(benefit)]
        rows.append([Cell(site), own, joint, difference_cell(benefit), Cell(count(benefit.n)), word])
    header = ["Hospital", "Own model", "Joint model", "Benefit of joining", "Test rows", "Joining is"]
    return table(f"Benefit of joining: {lead.benefit}, same test rows", header, rows)


def matrix_table(comparison: Mapping[str, Any], sites: Sequence[str], lead: Lead = AUROC) -> Table | None:
    """The leading metric of each hospital's own model at every hospital; None where it was not measured."""
    matrix = section(comparison, "local", "matrix")
    if not matrix:
        return None
    rows = [
        [Cell(trained), *(score_cell(estimate(matrix, trained, scored, lead.name)) for scored in sites)]
        for trained in sites
        if trained in matrix
    ]
    return table(f"{lead.label} of the row's own model on the column's test rows", ["Trained at", *sites], rows)


def seeds_table(comparison: Mapping[str, Any], lead: Lead = AUROC) -> Table | None:
    """Levels and differences over seeds, with t intervals; None for a run with one seed."""
    repeated = section(comparison, "over_seeds")
    rows = [
        [Cell(mode.name), *(score_cell(estimate(repeated, *mode.path, s, lead.name)) for s in ("mean", "pooled"))]
        for mode in present_modes(repeated)
    ]
    for key, name in (
        ("federated_minus_local", "Difference: federated minus local"),
        ("federated_minus_central", "Difference: federated minus central"),
    ):
        if find(repeated, key) is not None:
            rows.append(
                [Cell(name), *(difference_cell(estimate(repeated, key, s, lead.name)) for s in ("mean", "pooled"))]
            )
    header = ["Trained as", "Mean over hospitals", "Pooled rows"]
    return table(f"{lead.label} over seeds: mean, and 95 % t interval below", header, rows) if rows else None
