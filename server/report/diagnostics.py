"""Charts of what a round's updates say of each other (`server.diagnostics`), each with a sentence on how to read it."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from server.report.charts import lines, round_numbers
from server.report.diagnostics_csv import CSV
from server.report.formats import joined
from server.report.layout import Figure
from server.report.values import number, section

FILE = f"The figures, also of each hospital, are in {CSV} beside this report; a bold line is of all hospitals together."
EXACT = "In every round the average of the factors was exactly that of their products: the aggregation error is 0."
ERROR = (
    "How far the product of the averaged LoRA factors is from the average of the hospitals' products, as a share of "
    "the round's change of these: at 0.01 averaging loses a hundredth, near 1 as much as was learned. As a rule of "
    "thumb, from about a tenth on, comparing with an exact strategy is worth a try; no figure here proves a gain."
)
COSINES = (
    "1: the hospital's update points where the average does; 0: the two have nothing in common; below 0: the average "
    "goes against that hospital. The bold line is the mean between two hospitals, lower by nature."
)
DRIFT = (
    "How far the hospitals' updates are from their average, as a multiple of its length: well below 1 they agree; "
    "above 1 they cancel out for the most part, and fewer local epochs or a lower learning rate may keep them together."
)
NORMS = (
    "The length of each hospital's update, and of what the strategy made of them all, which is the shorter the more "
    "they disagree; a hospital far above the others rules the average."
)
RANKS = (
    "To how many equally strong directions the average change of a layer amounts. One hospital's own change has up to "
    "twice the study's rank; above that, no LoRA of the study's rank can hold the average change."
)


def charts(entries: Sequence[Mapping[str, Any]], sites: Sequence[str]) -> tuple[Figure, ...]:
    """Return the charts of the figures that there are."""
    x = round_numbers(entries)

    def of_all(key: str) -> list[float | None]:
        return [number(entry, "diagnostics", key) for entry in entries]

    def of_sites(key: str) -> dict[str, list[float | None]]:
        return {site: [number(entry, "diagnostics", key, site) for entry in entries] for site in sites}

    error, ranks = ("Aggregation error", of_all("aggregation_error")), ("Mean over layers", of_all("effective_rank"))
    drift, between = ("Drift", of_all("drift")), ("Between two hospitals", of_all("pairwise_cosine"))
    length = ("What the strategy made of them", of_all("aggregated_norm"))
    found = (
        lines(x, {}, error, name="Aggregation error per round", y="Relative error", note=ERROR, logarithmic=True),
        lines(x, of_sites("cosines"), between, name="Cosines of the updates per round", y="Cosine", note=COSINES),
        lines(x, {}, drift, name="Drift per round", y="Relative distance", note=DRIFT),
        lines(x, of_sites("update_norms"), length, name="Lengths of the updates per round", y="Norm", note=NORMS),
        lines(x, {}, ranks, name="Effective rank per round", y="Effective rank", note=RANKS),
    )
    return tuple(figure for figure in found if figure is not None)


def reasons(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence on what is missing from the charts, and why, by round."""
    errors = [number(entry, "diagnostics", "aggregation_error") for entry in entries]
    exact = [EXACT] if errors and all(error == 0 for error in errors) else []
    rounds: dict[tuple[str, str], list[str]] = {}
    for place, entry in enumerate(entries):
        for name, text in section(entry, "diagnostics", "reasons").items():
            rounds.setdefault((name.replace("_", " "), str(text)), []).append(f"{round_numbers(entries)[place]:.0f}")
    names: dict[tuple[str, str], list[str]] = {}
    for (name, text), found in rounds.items():
        where = "any round" if len(found) == len(entries) else "round " + joined(found)
        names.setdefault((where, text), []).append(name)
    return exact + [f"No {_alternatives(found)} in {where}: {text}." for (where, text), found in names.items()]


def _alternatives(names: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
