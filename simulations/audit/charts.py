"""The audit's chart: a dot and an interval for each figure, with lines for chance and for the threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.metrics.types import Metric
from server.report.ink import STAND_INS, label, new_axes, to_svg
from server.report.layout import Figure

LONGEST_NAME = 34


@dataclass(frozen=True)
class Dot:
    """One line of the chart; `bad`: whether it is beyond its threshold for sure."""

    name: str
    metric: Metric
    bad: bool = False


def dots_chart(
    dots: Sequence[Dot], *, name: str, x: str, chance: float | None, threshold: float | None
) -> Figure | None:
    """Return the chart; None where no figure has a value. A filled dot is beyond the threshold, and not by chance."""
    known = [dot for dot in dots if dot.metric.value is not None]
    if not known:
        return None
    figure, axes = new_axes(height=0.9 + 0.3 * len(known))
    for place, dot in enumerate(known):
        colour = STAND_INS["worse" if dot.bad else "series-1"]
        low, high = dot.metric.low, dot.metric.high
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
        face = colour if dot.bad else STAND_INS["paper"]
        axes.plot(
            [dot.metric.value], [place], "o", markersize=7, markeredgecolor=colour, markerfacecolor=face, zorder=3
        )
    if chance is not None:
        axes.axvline(chance, color=STAND_INS["muted"], linewidth=1, linestyle=":")
    if threshold is not None:
        axes.axvline(threshold, color=STAND_INS["ink"], linewidth=1)
    axes.set_yticks(range(len(known)), [_short(dot.name) for dot in known], parse_math=False)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    label(axes, x, "")
    return Figure(to_svg(figure, name=name), f"{name}. {_lines(chance, threshold)}".strip())


def _lines(chance: float | None, threshold: float | None) -> str:
    said = (["dotted: chance"] if chance is not None else []) + (
        ["solid: the threshold"] if threshold is not None else []
    )
    return f"{'; '.join(said).capitalize()}." if said else ""


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
