"""Where an adapter comes from: study, digests, versions, receipts, command, and the version that it goes on from."""

from collections.abc import Mapping
from typing import Any  # results are JSON

from server.report.formats import DASH, count
from server.report.layout import Cell, Table, pairs, table
from server.report.values import find, number, rounds_of, section

PARTS = ("study", "seed", "seeds", "kept_round", "parent", "command", "digests", "versions", "execution", "receipts")


def provenance_json(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that says where the adapter comes from; absent is null."""
    return {**{part: results.get(part) for part in PARTS}, "rounds": len(rounds_of(results))}


def provenance_tables(results: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a run whose adapter has a digest."""
    if find(results, "digests", "adapter") is None:
        return []
    receipts = receipts_table(results)
    return [provenance_table(results), *([] if receipts is None else [receipts])]


def provenance_table(results: Mapping[str, Any]) -> Table:
    """The run in a few lines: which round was kept, the adapter's digest, its parent, how many receipts there are."""
    parent, receipts = results.get("parent"), section(results, "receipts")
    kept = number(results, "kept_round")
    rows = [
        ("Adapter", str(find(results, "digests", "adapter") or DASH)),
        ("Kept round", DASH if kept is None else f"{kept:.0f} of {len(rounds_of(results))}"),
        ("Goes on from", "no earlier version" if parent is None else _words(parent)),
        ("Receipts", _receipts(receipts)),
        ("Their head", str(receipts.get("head") or DASH)),
    ]
    return pairs("Provenance", ("What", "Value"), rows)


def _words(parent: Any) -> str:
    if isinstance(parent, Mapping):
        return ", ".join(f"{key} {value}" for key, value in parent.items())
    return str(parent)


def _receipts(receipts: Mapping[str, Any]) -> str:
    total = number(receipts, "count")
    if total is None:
        return DASH
    return f"{count(total)}, {'signed and chained' if receipts.get('signed') else 'plain lines of virtual sites'}"


def receipts_table(results: Mapping[str, Any]) -> Table | None:
    """Each hospital's receipts and the digest of the last; None where there are none."""
    sites = section(results, "receipts", "sites")
    rows = [
        [Cell(site), Cell(count(number(each, "count"))), Cell(str(find(each, "head")))] for site, each in sites.items()
    ]
    return table("Receipts of each hospital", ["Hospital", "Receipts", "Digest of the last"], rows) if rows else None
