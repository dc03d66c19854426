"""bench.html: what `make bench` measured, as one page that needs no network: ratios drawn, every figure in tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # JSON values; matplotlib is untyped

from server.report.ink import STAND_INS, label, new_axes, to_svg
from server.report.layout import Cell, Figure, Section, pairs, table
from server.report.render import render_page
from simulations.bench.pairs import LEAST, MOST

OVER = "_over_"
READING = (
    "A ratio is one thing's seconds over another's; below 1 the first is faster. The two were measured in turns on the "
    "same machine, and what is shown is the median of the pairs, with the least and the most of them. "
    "Seconds are the best of all turns. Others' work on the machine makes all figures worse, and ratios little."
)


@dataclass(frozen=True)
class Drawn:
    """A ratio as it is drawn."""

    name: str
    value: float
    least: float
    most: float


def render(content: Mapping[str, Any]) -> str:
    """Return the page of a bench.json as HTML."""
    found: Mapping[str, Any] = content["sections"]
    newest = max(found.values(), key=lambda entry: str(entry["date"]))
    machine = newest["machine"]
    facts = [f"{machine['cores']} cores", str(machine["cpu"]), str(machine["capability"]), f"measured {newest['date']}"]
    return render_page(
        title="fedpeft bench",
        description="How far fedpeft is from what the machine must do at least, and from other simulators",
        facts=facts,
        summary=[f"{name}: {len(entry['figures'])} figures." for name, entry in found.items()],
        sections=[Section("How to read this", (READING,)), *(_section(name, found[name]) for name in found)],
    )


def ratios_of(figures: Mapping[str, float | None]) -> list[Drawn]:
    """Return the figures that are ratios of paired measurements."""
    return [
        Drawn(name, value, figures.get(name + LEAST) or value, figures.get(name + MOST) or value)
        for name, value in figures.items()
        if OVER in name and value and not name.endswith((LEAST, MOST))
    ]


def _section(name: str, entry: Mapping[str, Any]) -> Section:
    figures: Mapping[str, float | None] = entry["figures"]
    drawn = ratios_of(figures)
    rows = [
        (Cell(figure), Cell(_number(value), _between(figures, figure)))
        for figure, value in figures.items()
        if not figure.endswith((LEAST, MOST))
    ]
    machine = entry["machine"]
    facts = [
        ("Command", str(entry["command"])),
        ("Begun", str(entry["date"])),
        ("Load before and after", f"{entry['load_before']:.1f}, {entry['load_after']:.1f}"),
        ("Processor", f"{machine['cores']} cores of {machine['cpu']}, {machine['capability']}"),
        ("Versions", ", ".join(f"{k} {v}" for k, v in machine["versions"].items() if v)),
    ]
    return Section(
        name,
        figures=(ratio_chart(drawn, name),) if drawn else (),
        tables=(
            table(f"Figures of {name}", ("Figure", "Value"), rows),
            pairs(f"How {name} was measured", ("What", "Found"), facts),
        ),
    )


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:.4g}"


def _between(figures: Mapping[str, float | None], name: str) -> str:
    least, most = figures.get(name + LEAST), figures.get(name + MOST)
    return "" if least is None or most is None else f"{_number(least)} to {_number(most)}"


def ratio_chart(drawn: Sequence[Drawn], section: str) -> Figure:
    """Return one line for each ratio, on a scale on which twice and half are as far from 1."""
    figure, axes = new_axes(width=7.2, height=0.9 + 0.25 * len(drawn))
    for place, each in enumerate(drawn):
        colour = STAND_INS["better" if each.value < 1 else "worse"]
        axes.plot([each.least, each.most], [place, place], color=colour, linewidth=2)
        axes.plot([each.value], [place], "o", color=colour, markersize=6, zorder=3)
    axes.set_xscale("log")
    axes.axvline(1, color=STAND_INS["ink"], linewidth=1)
    axes.set_yticks(range(len(drawn)), [each.name for each in drawn], parse_math=False)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    label(axes, "ratio (left of 1: the first named is the smaller)", "")
    name = f"Ratios of {section}"
    return Figure(
        to_svg(figure, name=name), f"{name}: the median of the pairs, and from the least to the most of them."
    )
