"""The tables of a run's page, which are there at the first paint; charts only add to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final  # records are JSON

from server.dashboard.budget import Budget
from server.dashboard.progress import answers
from server.dashboard.state import Record, View
from server.report.formats import DASH, count, plain, size, worded
from server.report.layout import Cell, Table, Tone, score_cell, table
from server.report.lead import Lead
from server.report.rounds import STATUSES, rounds_table
from server.report.values import estimate, find, number, section

SHOWN_ROUNDS: Final = 12
"""Of the newest rounds, in tables; the charts have all."""
_TONES: Final[Mapping[str, Tone]] = {"accepted": "", "absent": "muted", "asked": "muted", "awaited": "muted"}


def metrics_table(view: View, labels: Mapping[str, str]) -> Table | None:
    """Every metric of the last scored adapter: all sites together, then each; None before the first."""
    if view.scored is None:
        return None
    names = [(name, labels.get(name, name)) for name in view.metrics]
    pooled = [score_cell(estimate(view.latest, "pooled", name), missing="no value") for name, _ in names]
    rows = [[Cell("All hospitals together"), _rows_of(section(view.latest, "pooled")), *pooled]]
    for site in section(view.latest, "sites"):
        found = section(view.latest, "sites", site)
        rows.append([Cell(site), _rows_of(found), *(score_cell(estimate(found, name)) for name, _ in names)])
    which = "the initial adapter" if view.scored == 0 else f"the adapter of round {view.scored}"
    caption = f"Metrics of {which} on validation rows, 95 % intervals below"
    return table(caption, ["Hospital", "Rows", *(label for _, label in names)], rows)


def _rows_of(metrics: Mapping[str, Any]) -> Cell:
    return Cell(count(next((n for name in metrics if (n := number(metrics, name, "n")) is not None), None)))


def participation_table(view: View) -> Table | None:
    """One row per site: how often each became of it, the last reason, the round under way, and the newest rounds."""
    if not view.sites:
        return None
    numbers = sorted(view.records)
    shown = numbers[-SHOWN_ROUNDS:]
    now = answers(view)
    rows = []
    for site in view.sites:
        replies = [section(view.records[k], "participation", site) for k in numbers]
        statuses = [str(reply.get("status")) for reply in replies if reply]
        counts = [Cell(count(statuses.count(status)), tone=_counted(statuses, status)) for status in STATUSES]
        newest = [_status(section(view.records[k], "participation", site)) for k in shown]
        rows.append([Cell(site), *counts, _reason(replies), _now(now.get(site)), *newest])
    header = ["Hospital", *(status.capitalize() for status in STATUSES), "Last reason", "Now", *map(str, shown)]
    return table("What became of each hospital's update: in all, and in the newest rounds", header, rows)


def _counted(statuses: Sequence[str], status: str) -> Tone:
    return "muted" if status not in statuses else "" if status in ("accepted", "absent") else "bad"


def _reason(replies: Sequence[Mapping[str, Any]]) -> Cell:
    found = next((reply["reason"] for reply in reversed(replies) if reply.get("reason")), None)
    return Cell(DASH, tone="muted") if found is None else Cell(worded(str(found)))


def _now(state: str | None) -> Cell:
    if state is None:
        return Cell(DASH, tone="muted")
    return Cell(worded(state), tone=_TONES.get(state.partition(":")[0], "bad"))


def _status(reply: Mapping[str, Any]) -> Cell:
    if not reply:
        return Cell("", tone="muted")
    symbol, tone = STATUSES.get(str(reply.get("status")), ("?", "bad"))
    return Cell(symbol, tone=tone)


def newest_rounds(view: View, lead: Lead, *, everything: bool) -> Table | None:
    """The report's table of rounds, the newest first; each has the scores of its own adapter, where they are in."""
    if not view.records:
        return None
    numbers = sorted(view.records, reverse=True)
    chosen = numbers if everything else numbers[:SHOWN_ROUNDS]
    found = rounds_table([_with_scores(view, k, lead) for k in chosen], lead)
    title = "All rounds, the newest first" if everything else "The newest rounds"
    return Table(title, found.header, found.rows)


def _with_scores(view: View, number_: int, lead: Lead) -> Record:
    scores = view.scores.get(number_)
    value, low, high = (None, None, None) if scores is None else scores.at("", lead.name)
    pooled = {lead.name: {"value": value, "low": low, "high": high}}
    return {**view.records[number_], "validation": {"pooled": pooled}}


def bytes_table(view: View) -> Table | None:
    """What each site sent and was sent, and all together."""
    if not view.records:
        return None
    every, last = moved(view.records.values()), moved([view.records[view.done]])
    up, down = sum(each.up for each in every.values()), sum(each.down for each in every.values())
    rows = [[Cell("All hospitals together"), *_sizes(up, down, sum(each.up for each in last.values()))]]
    for site in view.sites:
        found = every.get(site, Moved())
        rows.append([Cell(site), *_sizes(found.up, found.down, last.get(site, Moved()).up)])
    return table("Bytes moved", ["Hospital", "Sent up", "Sent down", "Up in the last round"], rows)


def _sizes(*values: int) -> list[Cell]:
    return [Cell(size(value)) for value in values]


@dataclass(frozen=True)
class Moved:
    """Bytes that a site sent, and was sent."""

    up: int = 0
    down: int = 0


def moved(records: Iterable[Record]) -> dict[str, Moved]:
    """Return the bytes of these rounds by site."""
    up: dict[str, int] = {}
    down: dict[str, int] = {}
    for record in records:
        for site, reply in section(record, "participation").items():
            up[site] = up.get(site, 0) + (reply.get("bytes_up") or 0)
            down[site] = down.get(site, 0) + (reply.get("bytes_down") or 0)
    return {site: Moved(up[site], down[site]) for site in up}


def updates_table(view: View) -> Table | None:
    """What the last round's updates say of each other, and each site's own figures."""
    if not view.records:
        return None
    last = view.records[view.done]
    whole = [find(last, "train", "mean", "loss"), find(last, "diagnostics", "aggregated_norm"), None]
    rows = [[Cell("All hospitals together"), *map(_figure, whole)]]
    for site in view.sites:
        figures = (
            ("train", "sites", site, "loss"),
            ("diagnostics", "update_norms", site),
            ("diagnostics", "cosines", site),
        )
        rows.append([Cell(site), *(_figure(find(last, *path)) for path in figures)])
    header = ["Hospital", "Training loss", "Update norm", "Cosine to the mean"]
    return table(f"Updates of round {view.done}", header, rows)


def _figure(value: Any) -> Cell:
    return Cell(plain(value) if isinstance(value, int | float) else DASH, tone="" if value is not None else "muted")


def privacy_table(found: Budget) -> Table | None:
    """What each site spent, where it is known."""
    rows = [[Cell(site), Cell(f"{epsilon:.3g}")] for site, epsilon in found.sites.items()]
    return table("What each hospital spent of its patients", ["Hospital", "Epsilon"], rows) if rows else None
