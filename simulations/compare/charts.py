"""The charts of a comparison: levels of all rows, and their differences to the baseline, with intervals over seeds."""

from collections.abc import Sequence
from typing import Any  # matplotlib is untyped

from common.metrics.types import Metric
from server.report.ink import STAND_INS, label, new_axes, to_svg
from server.report.layout import Figure
from server.report.values import Estimate, verdict
from simulations.compare.rows import Summary


def level_chart(rows: Sequence[Summary], *, metric: str, where: str) -> Figure | None:
    """One line for each strategy: every seed's value, the mean, and its 95 % t interval."""
    if all(row.level.value is None for row in rows):
        return None
    figure, axes = new_axes(height=0.9 + 0.3 * len(rows))
    for place, row in enumerate(rows):
        seeds = [value for value in row.runs.values(row.metric).values() if value is not None]
        axes.plot(seeds, [place] * len(seeds), "|", color=STAND_INS["muted"], markersize=9)
        _draw(axes, place, row.level, "series-1")
    _name_rows(axes, rows)
    label(axes, f"{metric} on test rows", "")
    name = f"{metric} by strategy, {where}"
    return Figure(to_svg(figure, name=name), f"{name}: a stroke for each seed, the mean and its 95 % t interval.")


def difference_chart(rows: Sequence[Summary], *, metric: str, where: str, baseline: str, higher: bool) -> Figure | None:
    """One line for each strategy: mean difference to the baseline with its interval; filled where that excludes 0."""
    known = [row for row in rows if row.paired is not None and row.paired.difference.value is not None]
    if not known:
        return None
    figure, axes = new_axes(height=0.9 + 0.3 * len(known))
    for place, row in enumerate(known):
        assert row.paired is not None  # chosen so
        difference = row.paired.difference
        found = verdict(Estimate(difference.value, difference.low, difference.high))
        gained = {"better": higher, "worse": not higher}.get(found)
        _draw(axes, place, difference, "muted" if gained is None else "better" if gained else "worse", gained is None)
    axes.axvline(0, color=STAND_INS["ink"], linewidth=1)
    _name_rows(axes, known)
    side = "right" if higher else "left"
    label(axes, f"{metric} minus that of {baseline} ({side} of zero: better)", "")
    name = f"Paired difference to {baseline}, {where}"
    note = "mean over seeds and 95 % t interval, filled where it excludes zero."
    return Figure(to_svg(figure, name=name), f"{name}: {note}")


def _draw(axes: Any, place: int, metric: Metric, role: str, hollow: bool = False) -> None:
    if metric.value is None:
        return
    colour = STAND_INS[role]
    if metric.low is not None and metric.high is not None:
        axes.plot([metric.low, metric.high], [place, place], color=colour, linewidth=2)
    face = STAND_INS["paper"] if hollow else colour
    axes.plot([metric.value], [place], "o", markersize=7, markeredgecolor=colour, markerfacecolor=face, zorder=3)


def _name_rows(axes: Any, rows: Sequence[Summary]) -> None:
    axes.set_yticks(range(len(rows)), [row.runs.cell.strategy[:22] for row in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
