"""Tables of what happened round by round: participation, time, bytes, loss, and what was recorded of the updates."""

from collections.abc import Mapping, Sequence
from typing import Any  # results are JSON

from server.report.formats import DASH, count, duration, plain, size, worded
from server.report.layout import Cell, Table, Tone, score_cell, table
from server.report.lead import AUROC, Lead
from server.report.values import estimate, find, number, section

STATUSES: Mapping[str, tuple[str, Tone]] = {
    "accepted": ("\N{CHECK MARK}", ""),
    "refused": ("\N{MULTIPLICATION X}", "bad"),
    "late": ("\N{HORIZONTAL ELLIPSIS}", "bad"),
    "failed": ("!", "bad"),
    "absent": (DASH, "muted"),
}


def participation_table(entries: Sequence[Mapping[str, Any]], sites: Sequence[str]) -> Table:
    """One row per site, one column per round: the status in words, and the reason."""
    rows = [
        [Cell(site), _examples_cell(entries, site), *(_status_cell(find(e, "participation", site)) for e in entries)]
        for site in sites
    ]
    header = ["Hospital", "Training rows", *(count(number(e, "round")) for e in entries)]
    return table("What became of each hospital's update, by round", header, rows)


def training_rows(entries: Sequence[Mapping[str, Any]], site: str) -> float | None:
    """Return the training rows behind the site's last accepted update; a refused reply's count may be anything."""
    replies = [section(entry, "participation", site) for entry in reversed(entries)]
    found = [number(reply, "examples") for reply in replies if reply.get("status") == "accepted"]
    return next((value for value in found if value is not None), None)


def _examples_cell(entries: Sequence[Mapping[str, Any]], site: str) -> Cell:
    return Cell(count(training_rows(entries, site)))


def _status_cell(reply: Any) -> Cell:
    status = str(find(reply, "status") or "absent")
    symbol, tone = STATUSES.get(status, ("?", "bad"))
    reason = find(reply, "reason")
    return Cell(f"{symbol} {status}", "" if reason is None else worded(str(reason)), tone=tone)


def rounds_table(entries: Sequence[Mapping[str, Any]], lead: Lead = AUROC) -> Table:
    """One row per round: accepted updates, time by phase, bytes both ways, loss, the leading metric."""
    rows = []
    for entry in entries:
        replies = section(entry, "participation").values()
        accepted = sum(find(reply, "status") == "accepted" for reply in replies)
        times = [Cell(duration(number(entry, "seconds", key))) for key in ("train", "evaluate", "aggregate", "total")]
        bytes_moved = [Cell(size(_total(replies, key))) for key in ("bytes_up", "bytes_down")]
        loss = Cell(plain(number(entry, "train", "mean", "loss")))
        score = score_cell(estimate(entry, "validation", "pooled", lead.name))
        start = [Cell(count(number(entry, "round"))), Cell(f"{accepted} of {len(replies)}")]
        rows.append([*start, loss, score, *times, *bytes_moved])
    header = ["Round", "Accepted", "Training loss", f"Validation {lead.label}, pooled"]
    header += ["Training", "Evaluation", "Aggregation", "Whole round", "Sent up", "Sent down"]
    return table("Each round", header, rows)


def _total(replies: Any, key: str) -> float | None:
    found = [value for value in (number(reply, key) for reply in replies) if value is not None]
    return sum(found) if found else None


def total_bytes(entries: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Return the sum of `bytes_up` or `bytes_down` over rounds and sites, None where none is recorded."""
    return _total([reply for entry in entries for reply in section(entry, "participation").values()], key)


def diagnostics_table(entries: Sequence[Mapping[str, Any]]) -> Table | None:
    """The numbers recorded of the updates, one column each; None where there are none."""
    keys = sorted({k for e in entries for k in section(e, "diagnostics") if number(e, "diagnostics", k) is not None})
    rows = [
        [Cell(count(number(e, "round"))), *(Cell(_significant(number(e, "diagnostics", key))) for key in keys)]
        for e in entries
    ]
    return table("Each round's updates", ["Round", *(key.replace("_", " ") for key in keys)], rows) if keys else None


def _significant(value: float | None) -> str:
    return DASH if value is None else f"{value:.4g}"
