"""What the pages show, as values for the templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # results are JSON

from common.metrics.measure import MetricInfo
from common.study_task import metric_infos
from server.dashboard.alerts import Alert, alerts
from server.dashboard.budget import Budget, budget
from server.dashboard.folders import Standing
from server.dashboard.live import Snapshot
from server.dashboard.progress import Progress, progress
from server.dashboard.reading import Last
from server.dashboard.state import View
from server.dashboard.tables import (
    bytes_table,
    metrics_table,
    moved,
    newest_rounds,
    participation_table,
    privacy_table,
    updates_table,
)
from server.report import comparison
from server.report.formats import DASH, counted, duration, interval, plain, size
from server.report.layout import Table
from server.report.lead import AUROC, Lead
from server.report.values import Estimate, estimate, find, section


@dataclass(frozen=True)
class RunCard:
    """One figure at the top of a page: what it is, the figure, and a word on it."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class RunPage:
    """A run's page: everything that is there before any script runs."""

    name: str
    title: str
    description: str
    standing: Standing
    facts: Sequence[str]
    progress: Progress
    alerts: Sequence[Alert]
    cards: Sequence[RunCard]
    metrics: Sequence[tuple[str, str]]
    sites: Sequence[str]
    tables: Mapping[str, Table | None]
    comparison: Sequence[Table]
    budget: Budget | None
    position: int
    skipped: int
    is_there: bool


def run_page(found: Snapshot, *, everything: bool = False) -> RunPage:
    """Return the page of a run as it is now; everything: all its rounds in the table."""
    view, infos = found.reading.view, metric_infos()
    lead, spent = lead_of(view, infos), budget(found.study, found.results, view.done)
    far = progress(view)
    labels = {name: info.label for name, info in infos.items()}
    return RunPage(
        name=found.name,
        title=str(found.study.get("name") or found.name),
        description=str(found.study.get("description") or ""),
        standing=found.standing,
        facts=_facts(found),
        progress=far,
        alerts=alerts(view),
        cards=_cards(view, lead, far, spent, is_over=found.standing.is_over),
        metrics=[(name, labels.get(name, name)) for name in view.metrics],
        sites=view.sites,
        tables={
            "metrics": metrics_table(view, labels),
            "participation": participation_table(view),
            "updates": updates_table(view),
            "bytes": bytes_table(view),
            "rounds": newest_rounds(view, lead, everything=everything),
            "privacy": None if spent is None else privacy_table(spent),
        },
        comparison=_comparison(found.results, view, lead),
        budget=spent,
        position=found.reading.position,
        skipped=found.reading.skipped,
        is_there=found.reading.is_there,
    )


def lead_of(view: View, infos: Mapping[str, MetricInfo]) -> Lead:
    """Return the leading metric of a run: the first of its own."""
    info = infos.get(next(iter(view.metrics), ""))
    return AUROC if info is None else Lead(info.name, info.label, info.meaning, info.higher_is_better)


def _facts(found: Snapshot) -> list[str]:
    view, study = found.reading.view, found.study
    method, strategy = find(study, "peft", "method"), find(study, "aggregation", "name")
    facts = [counted(len(view.sites), "hospital")] if view.sites else []
    facts += [f"method {method}"] if method else []
    facts += [f"strategy {strategy}"] if strategy else []
    facts += [f"seed {study['seed']}"] if "seed" in study else []
    facts += [f"run {view.run}"] if view.run else []
    return [*facts, f"last event {view.time[:19].replace('T', ' ')} UTC"] if view.time else facts


def _cards(view: View, lead: Lead, far: Progress, spent: Budget | None, *, is_over: bool) -> list[RunCard]:
    kept = f"kept: round {view.kept_round}" if view.kept_round is not None else ""
    left = "" if is_over or far.left_s is None else f"about {duration(far.left_s)} left"
    rest = kept if view.is_finished else left
    cards = [RunCard("Rounds", f"{far.done} of {far.rounds}", rest)]
    if view.asking is not None and not is_over:
        asking = view.asking
        what = f"round {asking.round}" if asking.kind == "train" else "closing evaluation"
        cards.append(RunCard("Answers now", f"{len(asking.answers)} of {len(asking.cohort)}", what))
    pooled = estimate(view.latest, "pooled", lead.name)
    if view.scored is not None:
        cards.append(RunCard(f"Validation {lead.label}, pooled", plain(pooled.value), _detail(pooled)))
    if view.records:
        last, every = view.records[view.done], moved(view.records.values()).values()
        up, down = sum(each.up for each in every), sum(each.down for each in every)
        cards += [
            RunCard("Training loss", plain(find(last, "train", "mean", "loss")), f"round {view.done}"),
            RunCard("A round takes", duration(far.round_s), "median of the newest"),
            RunCard("Moved", size(up), f"up; {size(down)} down"),
        ]
    return cards if spent is None else [*cards, _epsilon_card(spent)]


def _epsilon_card(spent: Budget) -> RunCard:
    value = max(spent.sites.values(), default=spent.spent)
    planned = DASH if spent.planned is None else f"{spent.planned:.3g}"
    return RunCard(f"Epsilon, of a {spent.unit}", DASH if value is None else f"{value:.3g}", f"planned: {planned}")


def _detail(pooled: Estimate) -> str:
    return interval(pooled) or (pooled.reason or "")


def _comparison(results: Mapping[str, Any], view: View, lead: Lead) -> list[Table]:
    found = section(results, "comparison")
    if not found:
        return []
    tables = [comparison.modes_table(found, view.sites, lead), comparison.benefit_table(found, view.sites, lead)]
    return [table for table in tables if table is not None]


@dataclass(frozen=True)
class Row:
    """One run in the list."""

    name: str
    standing: Standing
    progress: str
    score: str
    time: str


def list_rows(found: Mapping[str, tuple[Standing, Last]]) -> list[Row]:
    """Return the list of runs: those that last said something first."""
    infos = metric_infos()
    rows = [_row(name, where, last, infos) for name, (where, last) in found.items()]
    return sorted(rows, key=lambda row: row.time, reverse=True)


def _row(name: str, where: Standing, last: Last, infos: Mapping[str, MetricInfo]) -> Row:
    lead = next(iter(last.pooled), None)
    value = DASH if lead is None else plain(estimate(last.pooled, lead).value)
    label = "" if lead is None else infos[lead].label if lead in infos else lead
    rounds = f"{last.round} of {last.rounds}" if last.rounds else DASH
    return Row(name, where, rounds, f"{label} {value}".strip(), last.time[:19].replace("T", " "))
