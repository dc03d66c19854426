"""The decision curve (Vickers and Elkin 2006, https://doi.org/10.1177/0272989X06295361): chart, and a few numbers."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any  # results are JSON

from server.report.formats import DASH, joined, percent, plain
from server.report.ink import DASHES, SERIES, STAND_INS, label, new_axes, svg_dash, to_svg
from server.report.layout import Cell, Figure, Key, Table, table
from server.report.modes import curve_name
from server.report.values import section

MEANING = (
    "Net benefit is the share of patients rightly acted on, less that of those needlessly acted on, weighed by the "
    "risk from which one would act: who acts from 20 % on counts four needless actions as bad as one missed patient. "
    "At a given threshold the highest line is the best rule; a model is of use only where it is above both acting on "
    "everybody and acting on nobody. All test rows are counted together."
)
SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
MOST_SPANS = 3
ALL, NONE = "Act on everybody", "Act on nobody"


def decision_chart(results: Mapping[str, Any]) -> Figure | None:
    """Net benefit over thresholds; None where there is none."""
    curve = section(results, "decision_curve")
    if not section(curve, "modes"):
        return None
    thresholds: Sequence[float] = curve["thresholds"]
    figure, axes = new_axes(height=3.4)
    keys = []
    for place, (mode, values) in enumerate(curve["modes"].items()):
        role, dash = SERIES[place % len(SERIES)], DASHES[place % len(DASHES)]
        axes.plot(thresholds, values, color=STAND_INS[role], linewidth=1.6, linestyle=(0, dash) if dash else "-")
        keys.append(Key(curve_name(mode), role, svg_dash(dash)))
    axes.plot(thresholds, curve["all"], color=STAND_INS["muted"], linewidth=1.2, linestyle=(0, (1, 2)))
    axes.axhline(0, color=STAND_INS["ink"], linewidth=1)
    keys += [Key(ALL, "muted", svg_dash((1, 2))), Key(NONE, "ink")]
    top = max(max(values) for values in [*curve["modes"].values(), curve["all"]])
    axes.set(xlim=(0, 1), ylim=(-0.25 * max(top, 0.05), 1.1 * max(top, 0.05)))
    label(axes, "Risk from which one would act", "Net benefit per patient")
    name = "Decision curve on pooled test rows"
    return Figure(to_svg(figure, name=name), f"{name}, {curve['n']} of them; lower parts are cut off.", tuple(keys))


def decision_table(results: Mapping[str, Any]) -> Table | None:
    """Net benefit at a few thresholds; None where there is none."""
    curve = section(results, "decision_curve")
    if not section(curve, "modes"):
        return None
    columns = {
        **{curve_name(mode): values for mode, values in curve["modes"].items()},
        ALL: curve["all"],
        NONE: curve["none"],
    }
    rows = []
    for place, threshold in enumerate(curve["thresholds"]):
        if any(abs(threshold - shown) < 1e-9 for shown in SHOWN):
            rows.append([Cell(percent(threshold)), *(_cell(values, place) for values in columns.values())])
    return table("Net benefit per patient", ["Act from a risk of", *columns], rows)


def _cell(values: Sequence[float | None], place: int) -> Cell:
    value = values[place] if place < len(values) else None
    return Cell(DASH if value is None else plain(value))


def useful_range(results: Mapping[str, Any]) -> str:
    """Say over which thresholds the joint model is above both simple rules; empty where there is no curve of it."""
    curve = section(results, "decision_curve")
    values = section(curve, "modes").get("federated")
    if not values:
        return ""
    above = [own > max(everybody, 0.0) for own, everybody in zip(values, curve["all"], strict=True)]
    spans = [list(span) for is_above, span in groupby(range(len(above)), key=lambda place: above[place]) if is_above]
    if not spans:
        return "At no threshold is the joint model above both acting on everybody and on nobody."
    spans = sorted(sorted(spans, key=len)[-MOST_SPANS:])
    listed = joined([_span(curve, span) for span in spans])
    return f"The joint model is above both simple rules for thresholds {listed}. The curve has no interval."


def _span(curve: Mapping[str, Any], span: Sequence[int]) -> str:
    if len(span) == 1:
        return f"of {_percent(curve, span[0])}"
    return f"from {_percent(curve, span[0])} to {_percent(curve, span[-1])}"


def _percent(curve: Mapping[str, Any], place: int) -> str:
    return f"{100 * curve['thresholds'][place]:.0f} %"
