"""The table of how well each hospital's probabilities fit, before and after a map of its own."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from server.report.formats import DASH, interval, plain, signed, signed_interval
from server.report.layout import Cell, Table, table
from server.report.values import Estimate, estimate, find, number, section

MEANING = (
    "Each hospital fits a line on the log odds (with more than two labels, one temperature) on its validation rows, "
    "and its test rows are judged with and without it. Lower is better for the first three, whose change stands below "
    "with its interval. A slope of 1 and an intercept of 0 are right: a slope below 1 says that the model is surer "
    "than it may be, a positive intercept that it says too little."
)
ARROW = "\N{RIGHTWARDS ARROW}"
COLUMNS = {"calibration_error": "Calibration error", "brier": "Brier score", "log_loss": "Log loss"}
LINE = {"calibration_slope": "Slope", "calibration_intercept": "Intercept"}


def recalibration_table(results: Mapping[str, Any], sites: Sequence[str]) -> Table | None:
    """One row for each hospital; None where no hospital has a map."""
    found = section(results, "recalibration", "sites")
    told = [site for site in sites if site in found]
    if not any(section(found, site, "before") for site in told):
        return None
    has_line = any(find(found, site, "method") == "platt" for site in told)
    columns = {**COLUMNS, **(LINE if has_line else {})}
    rows = [[Cell(site), *_cells(section(found, site), columns)] for site in told]
    return table(
        f"Before {ARROW} after, on test rows; below, the change, and of slope and intercept the interval before",
        ["Hospital", *columns.values()],
        rows,
    )


def _cells(site: Mapping[str, Any], columns: Mapping[str, str]) -> list[Cell]:
    reason = str(find(site, "reason") or "")
    if reason:
        return [Cell(DASH, note=reason, tone="muted") for _ in columns]
    return [_change(site, name) if name in COLUMNS else _line(site, name) for name in columns]


def _change(site: Mapping[str, Any], name: str) -> Cell:
    change = estimate(site, "change", name)
    bounds = signed_interval(change)
    detail = "" if change.value is None else f"{signed(change.value)}{f' ({bounds})' if bounds else ''}"
    return _pair(estimate(site, "before", name), estimate(site, "after", name), detail)


def _line(site: Mapping[str, Any], name: str) -> Cell:
    before = estimate(site, "before", name)
    bounds = interval(before)
    return _pair(before, estimate(site, "after", name), bounds)


def _pair(before: Estimate, after: Estimate, detail: str) -> Cell:
    if before.value is None and after.value is None:
        return Cell(DASH, note=before.reason or after.reason or "", tone="muted")
    return Cell(f"{plain(before.value)} {ARROW} {plain(after.value)}", detail, before.reason or after.reason or "")


def badly_calibrated(results: Mapping[str, Any]) -> list[str]:
    """Return the hospitals whose slope, before any map, has an interval that excludes 1."""
    found = section(results, "recalibration", "sites")
    slopes = {site: section(found, site, "before", "calibration_slope") for site in found}
    return [
        site
        for site, slope in slopes.items()
        if (low := number(slope, "low")) is not None
        and (high := number(slope, "high")) is not None
        and not low <= 1 <= high
    ]
