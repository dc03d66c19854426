"""The tables of a comparison's page."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any  # a result is JSON

from common.metrics.types import Metric
from server.report.formats import DASH, count, duration, plain, size
from server.report.layout import Cell, Table, difference_cell, score_cell, table
from server.report.values import Estimate
from simulations.compare.rows import Summary

if TYPE_CHECKING:  # it imports the page
    from simulations.compare.comparing import Comparison

EDGE = "the best candidate lies at the edge: a better rate may lie beyond"
ALL_DIVERGED = "no candidate gave a validation loss: every tuning run diverged or stopped"
ONE_RATE = "one candidate: not chosen"


def strategies_table(found: "Comparison", rows: Sequence[Summary], where: str) -> Table:
    """One line for each strategy of one method and one way to divide the rows."""
    timed = found.grid.availability is not None
    header = ["Strategy", found.info.label, f"Minus {found.grid.baseline}", "Wins, ties, losses", "Learning rate"]
    header += [
        "Up per site and round",
        "Down",
        "Rounds",
        *(["Virtual time per round", "Replies in time"] if timed else []),
    ]
    header += ["Seconds of a run", "Runs without value"]
    return table(f"{found.info.label} on test rows, {where}", header, [_cells(row, timed=timed) for row in rows])


def _cells(row: Summary, *, timed: bool) -> list[Cell]:
    runs, pair = row.runs, row.paired
    results = [result for result in runs.results if result["status"] == "done"]
    return [
        Cell(runs.cell.strategy),
        score_cell(_estimate(row.level)),
        Cell(DASH, tone="muted") if pair is None else difference_cell(_estimate(pair.difference)),
        Cell(DASH if pair is None else f"{pair.wins}, {pair.ties}, {pair.losses}"),
        _rate_cell(row),
        Cell(size(runs.mean_of("bytes_up"))),
        Cell(size(runs.mean_of("bytes_down"))),
        Cell(count(_mean([len(result["rounds"]) for result in results]))),
        *(_virtual_cells(results) if timed else []),
        Cell(duration(runs.mean_of("seconds"))),
        Cell(count(row.missing), tone="bad" if row.missing else "muted"),
    ]


def _virtual_cells(results: Sequence[Mapping[str, Any]]) -> list[Cell]:
    spent = [result["virtual_seconds"] / len(result["rounds"]) for result in results]
    asked = sum(sum(result["participation"].values()) for result in results)
    there = sum(result["participation"]["accepted"] for result in results)
    return [Cell(duration(_mean(spent))), Cell(f"{100 * there / asked:.0f} %" if asked else DASH)]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _estimate(metric: Metric) -> Estimate:
    return Estimate(metric.value, metric.low, metric.high, metric.n, metric.reason)


def _rate_cell(row: Summary) -> Cell:
    choice = row.runs.choice
    if choice.all_diverged:
        return Cell(f"{choice.rate:g}", note=ALL_DIVERGED, tone="bad")
    note = EDGE if choice.at_edge else "" if choice.losses else ONE_RATE
    return Cell(f"{choice.rate:g}", "at the edge" if choice.at_edge else "", note, "bad" if choice.at_edge else "")


def rates_table(found: "Comparison") -> Table:
    """One line for each row: what was chosen, and the loss of every candidate."""
    rows = [[Cell(row.runs.cell.name), _rate_cell(row), *_loss_cells(row)] for row in found.summaries]
    longest = max(len(row) for row in rows)
    filled = [[*row, *[Cell("")] * (longest - len(row))] for row in rows]
    names = [f"Candidate {k}" for k in range(1, longest - 1)]
    caption = f"Chosen learning rates; below each candidate its {found.loss.label.lower()} on validation rows"
    return table(caption, ["Row", "Chosen", *names], filled)


def _loss_cells(row: Summary) -> list[Cell]:
    choice = row.runs.choice
    return [
        Cell(f"{rate:g}", "diverged" if math.isinf(loss) else plain(loss), tone="good" if rate == choice.rate else "")
        for rate, loss in choice.losses.items()
    ]
