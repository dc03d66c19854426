"""The whole comparison: choose rates, play the reported runs, and leave table and page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # JSON values

from common.files import write_bytes, write_json
from common.locking import exclusive
from common.metrics.measure import Measure, MetricInfo
from common.study_task import task_of
from simulations.compare.cells import Cell, Misfit, cells_of, split_misfits
from simulations.compare.choosing import Choice, choose
from simulations.compare.grid import Grid
from simulations.compare.grid_file import read_grid
from simulations.compare.playing import Playing, Told, open_folder
from simulations.compare.rows import CellRuns, Summary, lines, summaries, to_csv
from simulations.compare.trials import reported_trials, tuning_trials


@dataclass(frozen=True)
class Comparison:
    """Everything that table and page show.

    info: the metric that rows are compared by. loss: by which rates were chosen. command: runs it again.
    """

    grid: Grid
    info: MetricInfo
    loss: MetricInfo
    summaries: Sequence[Summary]
    misfits: Sequence[Misfit]
    lines: Sequence[Mapping[str, Any]]
    command: Sequence[str]


def compare(
    file: Path, *, out: Path, workers: int, plugins: Sequence[Path], told: Told, command: Sequence[str]
) -> Comparison:
    """Play what is missing of a grid in the folder `out`, and write compare.csv, compare.json and compare.html there.

    plugins: folders of the user's own strategies, which are known in this process already.

    Raises:
        UserError: a mistake in the grid or in what it names.
    """
    grid, study = read_grid(file)
    cells, misfits = split_misfits(cells_of(grid, study, where=str(file)))
    measure = task_of(study.task).measure
    own = tuple(str(folder.resolve()) for folder in plugins)
    open_folder(out)
    with exclusive(out / "lock"):
        playing = Playing(out, workers, told)
        choices = _choices(playing, grid, cells, measure, own)
        runs = _reported(playing, grid, cells, choices, own)
    info, loss = (_info(measure, name) for name in (grid.metric or measure.choosing[0], measure.tuning))
    table = lines(runs, [each.name for each in measure.infos])
    found = Comparison(grid, info, loss, summaries(runs, info, baseline=grid.baseline), misfits, table, command)
    _write(found, out)
    return found


def _choices(
    playing: Playing, grid: Grid, cells: Sequence[Cell], measure: Measure, own: tuple[str, ...]
) -> list[Choice]:
    trials = [tuning_trials(cell, grid, own) for cell in cells]
    results = iter(playing.results([trial for each in trials for trial in each]))
    return [
        choose(cell.rates, each, [next(results) for _ in each], measure.tuning)
        for cell, each in zip(cells, trials, strict=True)
    ]


def _reported(
    playing: Playing, grid: Grid, cells: Sequence[Cell], choices: Sequence[Choice], own: tuple[str, ...]
) -> list[CellRuns]:
    trials = [reported_trials(cell, choice.rate, grid, own) for cell, choice in zip(cells, choices, strict=True)]
    results = iter(playing.results([trial for each in trials for trial in each]))
    return [
        CellRuns(cell, choice, each, [next(results) for _ in each])
        for cell, choice, each in zip(cells, choices, trials, strict=True)
    ]


def _info(measure: Measure, name: str) -> MetricInfo:
    return next(info for info in measure.infos if info.name == name)


def _write(found: Comparison, out: Path) -> None:
    from simulations.compare.page import render

    write_bytes(out / "compare.csv", to_csv(found.lines).encode())
    write_json(out / "compare.json", as_json(found))
    write_bytes(out / "compare.html", render(found).encode("utf-8", errors="replace"))


def as_json(found: Comparison) -> dict[str, Any]:
    """Return grid, cells with their statistics, and runs; absent is null."""
    return {
        "format": 1,
        "grid": found.grid.model_dump(mode="json"),
        "metric": found.info.name,
        "command": list(found.command),
        "cells": [_cell(each) for each in found.summaries],
        "left_out": [vars(misfit) for misfit in found.misfits],
        "runs": list(found.lines),
    }


def _cell(each: Summary) -> dict[str, Any]:
    cell, choice, pair = each.runs.cell, each.runs.choice, each.paired
    losses = {f"{rate:g}": None if math.isinf(loss) else loss for rate, loss in choice.losses.items()}
    return {
        "strategy": cell.strategy,
        "method": cell.method,
        "heterogeneity": cell.heterogeneity,
        "learning_rate": {"chosen": choice.rate, "at_edge": choice.at_edge, "losses": losses},
        "level": each.level.to_json(),
        "difference": None if pair is None else pair.difference.to_json(),
        "wins_ties_losses": None if pair is None else [pair.wins, pair.ties, pair.losses],
        "without_value": each.missing,
    }
