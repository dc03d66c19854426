"""What `fedpeft compare` says in the terminal: a line for each run on stderr, the table on stdout."""

import sys
from pathlib import Path

from common.metrics.types import Metric
from server.report.formats import duration, plain, signed
from simulations.compare.comparing import Comparison
from simulations.compare.page import groups, place_name, warning
from simulations.compare.playing import Result
from simulations.compare.rows import Summary
from simulations.compare.trials import Trial


def tell(trial: Trial, result: Result, done: int, of: int) -> None:
    """Say what became of one run."""
    place = "tuning" if trial.purpose == "tuning" else f"seed {trial.seed}"
    sys.stderr.write(
        f"{done}/{of} {trial.cell.name}, {place}, learning rate {trial.rate:g}: {result['status']}, "
        f"{duration(result['seconds'])}\n"
    )
    sys.stderr.flush()


def print_comparison(found: Comparison, out: Path) -> None:
    """Print one table for each way to divide the rows and method, and where the page is."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 140)
    for key, rows in groups(found).items():
        table = Table(title=f"{found.info.label}, {place_name(key)}", title_justify="left")
        for name in (
            "strategy",
            found.info.label,
            f"minus {found.grid.baseline}",
            "wins/ties/losses",
            "rate",
            "no value",
        ):
            table.add_column(name)
        for row in rows:
            table.add_row(*_words(row))
        console.print(table)
    for misfit in found.misfits:
        console.print(f"left out: {misfit.reason}", markup=False, highlight=False)
    console.print(warning(found.summaries), markup=False, highlight=False, soft_wrap=True)
    console.print(f"page: {out / 'compare.html'}; runs: {out / 'compare.csv'}", markup=False, soft_wrap=True)


def _words(row: Summary) -> list[str]:
    pair, choice = row.paired, row.runs.choice
    return [
        row.runs.cell.strategy,
        _metric(row.level, with_sign=False),
        "" if pair is None else _metric(pair.difference, with_sign=True),
        "" if pair is None else f"{pair.wins}/{pair.ties}/{pair.losses}",
        f"{choice.rate:g}{' (edge)' if choice.at_edge else ''}",
        str(row.missing),
    ]


def _metric(metric: Metric, *, with_sign: bool) -> str:
    words = signed if with_sign else plain
    between = "" if metric.low is None else f" ({words(metric.low)} to {words(metric.high)})"
    return f"{words(metric.value)}{between}"
