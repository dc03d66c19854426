"""The report's charts. Every line has a name in the legend below the chart, and a dash pattern beside its colour."""

import math
from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON; matplotlib is untyped here

from server.report.ink import DASHES, SERIES, STAND_INS, label, new_axes, svg_dash, to_svg
from server.report.layout import Figure, Key
from server.report.lead import AUROC, Lead, lead_of
from server.report.modes import curve_name
from server.report.values import Estimate, estimate, number, rounds_of, section, verdict

Series = Mapping[str, Sequence[float | None]]


def loss_chart(results: Mapping[str, Any], sites: Sequence[str]) -> Figure | None:
    """Training loss per round and site; None without losses."""
    entries = rounds_of(results)
    series = {site: [number(entry, "train", "sites", site, "loss") for entry in entries] for site in sites}
    mean = [number(entry, "train", "mean", "loss") for entry in entries]
    x = round_numbers(entries)
    return lines(x, series, ("Mean", mean), name="Training loss per round and hospital", y="Training loss")


def validation_chart(results: Mapping[str, Any], sites: Sequence[str]) -> Figure | None:
    """The leading metric of each round's adapter on validation rows; None without values."""
    entries, initial, lead = rounds_of(results), results.get("initial"), lead_of(results)
    evaluations = [section(entry, "validation") for entry in entries]
    x = round_numbers(entries)
    if initial:
        evaluations, x = [section(initial, "validation"), *evaluations], [0.0, *x]
    series = {site: [number(e, "sites", site, lead.name, "value") for e in evaluations] for site in sites}
    pooled = [number(e, "pooled", lead.name, "value") for e in evaluations]
    name = f"{lead.label} on validation rows per round and hospital"
    return lines(x, series, ("Pooled", pooled), name=name, y=f"Validation {lead.label}")


def round_numbers(entries: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the numbers of the rounds, their places where they have none."""
    return [number(entry, "round") or place for place, entry in enumerate(entries, start=1)]


def lines(
    x: Sequence[float],
    series: Series,
    bold: tuple[str, Sequence[float | None]],
    *,
    name: str,
    y: str,
    note: str = "",
    logarithmic: bool = False,
) -> Figure | None:
    """One thin line per site and a thick one for all of them, over rounds; None where no value is known.

    note: one more sentence below it. logarithmic: of the y axis, where a value that is not above 0 is a gap.
    """
    if logarithmic:
        bold = bold[0], [value if value is not None and value > 0 else None for value in bold[1]]
    known = {key: values for key, values in series.items() if _has_values(values)}
    if not known and not _has_values(bold[1]):
        return None
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_axes()
    keys = _site_lines(axes, x, known)
    if _has_values(bold[1]):
        axes.plot(x, _gaps(bold[1]), color=STAND_INS["ink"], linewidth=2.2, marker="o", markersize=4)
        keys.append(Key(bold[0], "ink"))
    if logarithmic:
        _whole_decades(axes, [value for value in bold[1] if value])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    label(axes, "Round", y)
    return Figure(to_svg(figure, name=name), f"{name}. {note}".strip(), tuple(keys))


def _whole_decades(axes: Any, values: Sequence[float]) -> None:
    """Make the y axis logarithmic, from one power of ten to another: between these no mark needs a number."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    axes.set_yscale("log")
    axes.set_ylim(10.0**low, 10.0 ** max(high, low + 1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", which="minor", color=STAND_INS["muted"], length=2)


def _site_lines(axes: Any, x: Sequence[float], series: Series) -> list[Key]:
    """Draw one line per site: told apart up to as many as there are colours, all alike beyond."""
    if len(series) > len(SERIES):
        for values in series.values():
            axes.plot(x, _gaps(values), color=STAND_INS["muted"], linewidth=0.7, alpha=0.6, marker=".", markersize=2)
        return [Key(f"Each of {len(series)} hospitals", "muted")]
    keys = []
    for (site, values), role, dash in zip(series.items(), SERIES, DASHES, strict=False):
        style = (0, dash) if dash else "-"
        axes.plot(x, _gaps(values), color=STAND_INS[role], linewidth=1.4, linestyle=style, marker="o", markersize=3)
        keys.append(Key(site, role, svg_dash(dash)))
    return keys


def _has_values(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def benefit_chart(comparison: Mapping[str, Any], sites: Sequence[str], lead: Lead = AUROC) -> Figure | None:
    """Dot and interval of each site's benefit of joining; filled where the interval excludes zero."""
    benefits = {site: estimate(comparison, "benefit", site) for site in sites}
    known = {site: benefit for site, benefit in benefits.items() if benefit.value is not None}
    if not known:
        return None
    figure, axes = new_axes(height=0.9 + 0.3 * len(known))
    for place, benefit in enumerate(known.values()):
        _draw_benefit(axes, place, benefit)
    axes.axvline(0, color=STAND_INS["ink"], linewidth=1)
    axes.set_yticks(range(len(known)), [_short(site) for site in known], parse_math=False)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    label(axes, f"{lead.benefit} (right of zero: joining helps)", "")
    name = "Benefit of joining per hospital with 95 % interval"
    return Figure(to_svg(figure, name=name), name + "; a filled dot where the interval excludes zero, else hollow.")


def _draw_benefit(axes: Any, place: int, benefit: Estimate) -> None:
    found = verdict(benefit)
    colour = STAND_INS[found if found in ("better", "worse") else "muted"]
    if benefit.low is not None and benefit.high is not None:
        axes.plot([benefit.low, benefit.high], [place, place], color=colour, linewidth=2)
    face = colour if found in ("better", "worse") else STAND_INS["paper"]
    axes.plot([benefit.value], [place], "o", markersize=7, markeredgecolor=colour, markerfacecolor=face, zorder=3)


def _short(name: str, limit: int = 22) -> str:
    """Return a name that leaves room for the chart; the tables have the whole one."""
    text = "".join(letter for letter in name if letter.isprintable())
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def roc_chart(curves: Mapping[str, Any]) -> Figure | None:
    """ROC curves (Fawcett 2006, https://doi.org/10.1016/j.patrec.2005.10.010) of all modes that have one."""
    name = "ROC curves on pooled test rows"
    return _curves(curves, "roc", ("false_positive_rate", "true_positive_rate"), name, "dotted grey: chance")


def calibration_chart(curves: Mapping[str, Any]) -> Figure | None:
    """Observed frequency against mean predicted probability per bin; the diagonal is perfect calibration."""
    name = "Calibration on pooled test rows"
    return _curves(
        curves, "calibration", ("predicted", "observed"), name, "dotted grey: perfect; larger dots, more rows"
    )


def _curves(curves: Mapping[str, Any], kind: str, fields: tuple[str, str], name: str, note: str) -> Figure | None:
    known = {mode: found for mode in curves if (found := section(curves, mode, kind)).get(fields[0])}
    if not known:
        return None
    figure, axes = new_axes(height=4.2)
    axes.plot([0, 1], [0, 1], color=STAND_INS["muted"], linewidth=1, linestyle=":")
    keys = []
    for place, (mode, found) in enumerate(known.items()):
        role, dash = SERIES[place % len(SERIES)], DASHES[place % len(DASHES)]
        _draw_curve(axes, found, fields, STAND_INS[role], dash)
        keys.append(Key(curve_name(mode), role, svg_dash(dash)))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    label(axes, *(field.replace("_", " ").capitalize() for field in fields))
    return Figure(to_svg(figure, name=name), f"{name} ({note}).", tuple(keys))


def _draw_curve(
    axes: Any, found: Mapping[str, Any], fields: tuple[str, str], colour: str, dash: tuple[int, ...]
) -> None:
    x, y = (_gaps(found.get(field) or ()) for field in fields)
    length = min(len(x), len(y))
    axes.plot(x[:length], y[:length], color=colour, linewidth=1.6, linestyle=(0, dash) if dash else "-")
    counts = _gaps(found.get("n") or ())
    if len(counts) == length and length:
        most = max((c for c in counts if not math.isnan(c)), default=0) or 1
        areas = [0 if math.isnan(c) else 8 + 60 * c / most for c in counts]
        axes.scatter(x[:length], y[:length], s=areas, color=colour, linewidths=0)
