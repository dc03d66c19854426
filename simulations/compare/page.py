"""compare.html: one file, no network: tables and intervals for each way to divide the rows, rates, and the command."""

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from common.metrics.types import Metric
from server.report.formats import counted, joined, plain, signed
from server.report.layout import Cell, Figure, Section, table
from server.report.render import render_page
from server.report.values import Estimate, verdict
from simulations.compare.charts import difference_chart, level_chart
from simulations.compare.rows import Summary
from simulations.compare.tables import rates_table, strategies_table

if TYPE_CHECKING:  # it imports this
    from simulations.compare.comparing import Comparison

READING = (
    "Means over seeds with 95 % t intervals below. A difference is paired: seed by seed, both strategies saw the same "
    "patients at the same sites, the same split and the same draws. Wins, ties and losses count seeds; where one "
    "of the two has no value, the other wins. Means and differences are over the seeds that have a value, so a row "
    "without one at some seed is never called the best."
)
WARNING = (
    "Seeds are not patients: an interval says how much the result moves with the split and the draws of these same "
    "rows, and nothing about other patients. About one interval of a difference in twenty excludes zero by chance "
    "alone; this page has {intervals}."
)
CHOSEN = (
    "Each row has its own learning rate, chosen by the lowest {loss} on validation rows of seed {seed}, which is not "
    "reported. It was chosen on patients some of whom are test patients of the reported seeds, since every seed splits "
    "all patients anew; intervals do not include the noise of choosing. A rate at the edge of its candidates may be "
    "beaten by one beyond: widen learning_rates there."
)


def render(found: "Comparison") -> str:
    """Return the page as HTML."""
    grid = found.grid
    facts = [
        counted(len(grid.strategy), "strategy").replace("strategys", "strategies"),
        counted(max(1, len(grid.method)), "method"),
        counted(max(1, len(grid.heterogeneity)), "way").replace("way", "way to divide the rows", 1),
        counted(grid.seeds, "seed"),
        f"metric {found.info.label}",
    ]
    return render_page(
        title=grid.name,
        description=grid.description,
        facts=facts,
        summary=_summary(found),
        sections=[each for each in _sections(found) if not each.is_empty],
    )


def groups(found: "Comparison") -> dict[tuple[str, str], list[Summary]]:
    """Return the rows of each table: one for each way to divide the rows, and method."""
    result: dict[tuple[str, str], list[Summary]] = {}
    for row in found.summaries:
        result.setdefault((row.runs.cell.heterogeneity, row.runs.cell.method), []).append(row)
    return result


def place_name(key: tuple[str, str]) -> str:
    """Return the name of a table.

    >>> place_name(("dirichlet 0.1", "lora"))
    'dirichlet 0.1, lora'
    """
    return f"{key[0]}, {key[1]}"


def warning(rows: Sequence[Summary]) -> str:
    """Return what an interval does not say, with the number of those that could exclude zero by chance."""
    known = sum(row.paired is not None and row.paired.difference.low is not None for row in rows)
    return WARNING.format(intervals=counted(known, "interval"))


def _summary(found: "Comparison") -> list[str]:
    """One sentence for each table: who leads, and who differs clearly from the baseline."""
    sentences = [_lead(found, key, rows) for key, rows in groups(found).items()]
    missing = sum(row.missing for row in found.summaries)
    all_runs = sum(len(row.runs.trials) for row in found.summaries)
    lost = [f"{missing} of {all_runs} runs have no value: they diverged or stopped."] if missing else []
    return [*sentences, *lost]


def _lead(found: "Comparison", key: tuple[str, str], rows: Sequence[Summary]) -> str:
    """Among rows with a value at every seed: the mean of the others leaves out the seeds at which they did worst."""
    whole = [row for row in rows if not row.missing]
    if all(row.level.value is None for row in rows):
        return f"{place_name(key)}: no run has a value."
    if not whole:
        return f"{place_name(key)}: no row has a value at every seed, so that none is called the best."
    sign = 1 if found.info.higher_is_better else -1
    best = max(whole, key=lambda row: sign * (row.level.value or 0.0))
    name, value = best.runs.cell.strategy, plain(best.level.value)
    text = f"{place_name(key)}: the best mean {found.info.label} is {value}, of {name}"
    if best.paired is not None and best.paired.difference.value is not None:
        text += f", {signed(best.paired.difference.value)} to {found.grid.baseline}"
    return f"{text}; {_clear(found, whole)}.{_not_whole(rows)}"


def _clear(found: "Comparison", whole: Sequence[Summary]) -> str:
    clear = [row.runs.cell.strategy for row in whole if row.paired is not None and _is_clear(row.paired.difference)]
    if clear:
        return f"clearly different from {found.grid.baseline} over seeds: {joined(clear)}"
    return f"no interval of a difference to {found.grid.baseline} excludes zero"


def _not_whole(rows: Sequence[Summary]) -> str:
    names = [row.runs.cell.strategy for row in rows if row.missing]
    return f" Left aside, since a seed has no value: {joined(names)}." if names else ""


def _is_clear(metric: Metric) -> bool:
    return verdict(Estimate(metric.value, metric.low, metric.high)) in ("better", "worse")


def _sections(found: "Comparison") -> Iterator[Section]:
    yield Section("How to read this", (found.info.meaning, READING, warning(found.summaries)))
    for key, rows in groups(found).items():
        name = place_name(key)
        yield Section(name, (), _figures(found, rows, name), (strategies_table(found, rows, name),))
    yield _rates(found)
    yield _availability(found)
    yield _without(found)
    yield Section(
        "Running it again",
        ("The command goes on where it stopped, and plays nothing twice that is in its folder.",),
        code=shlex.join(found.command),
        folded=("The grid as it ran", json.dumps(found.grid.model_dump(mode="json"), indent=2, ensure_ascii=False)),
    )


def _figures(found: "Comparison", rows: Sequence[Summary], where: str) -> tuple[Figure, ...]:
    info = found.info
    drawn = [
        level_chart(rows, metric=info.label, where=where),
        difference_chart(
            rows, metric=info.label, where=where, baseline=found.grid.baseline, higher=info.higher_is_better
        ),
    ]
    return tuple(figure for figure in drawn if figure is not None)


def _rates(found: "Comparison") -> Section:
    text = CHOSEN.format(loss=found.loss.label.lower(), seed=found.grid.tuning.seed)
    numbers = {len(row.runs.cell.rates) for row in found.summaries}
    unequal = () if len(numbers) == 1 else ("Rows do not have the same number of candidates: the grid says so.",)
    return Section("Learning rates", (text, *unequal), tables=(rates_table(found),))


def _availability(found: "Comparison") -> Section:
    model = found.grid.availability
    if model is None:
        return Section("Availability")
    values = model.model_dump(mode="json", exclude_none=True)
    text = "Sites were late, away or failing by this model, in virtual time; all strategies met the same draws."
    rows = [[Cell(name), Cell(str(value))] for name, value in values.items()]
    return Section("Availability", (text,), tables=(table("The model of sites", ("Key", "Value"), rows),))


def _without(found: "Comparison") -> Section:
    """What is not in the means: combinations that do not go, runs without a value."""
    refused = [[Cell(f"{m.strategy}, {m.method}, {m.heterogeneity}"), Cell(m.reason)] for m in found.misfits]
    ended = [
        [Cell(f"{row.runs.cell.name}, seed {trial.seed}"), Cell(f"{result['status']}: {result['reason']}")]
        for row in found.summaries
        for trial, result in zip(row.runs.trials, row.runs.results, strict=True)
        if result["status"] != "done"
    ]
    tables = [
        table(title, ("Which", "Why"), rows)
        for title, rows in (("Combinations that do not go together", refused), ("Runs that ended without", ended))
        if rows
    ]
    return Section("What is not in the means", tables=tuple(tables))
