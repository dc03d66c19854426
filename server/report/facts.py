"""Tables of plain facts: sizes, times, privacy, digests, versions, and the command that runs it again."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any  # results are JSON

from server.report import privacy
from server.report.formats import DASH, count, duration, percent, size
from server.report.layout import Table, pairs
from server.report.rounds import total_bytes
from server.report.values import number, rounds_of, section


def parameters_table(results: Mapping[str, Any]) -> Table:
    """How many parameters there are, were trained, and travelled."""
    found = section(results, "parameters")
    rows = [
        ("Trained", count(number(found, "trainable"))),
        ("Shared with the server", count(number(found, "shared"))),
        ("Whole model", count(number(found, "total"))),
        ("Share trained", percent(number(found, "fraction"))),
    ]
    return pairs("Parameters", ("Group", "Number"), rows)


def bytes_table(results: Mapping[str, Any]) -> Table:
    """What crossed the border of the hospitals."""
    entries = rounds_of(results)
    rows = [
        ("Up, per hospital and round", size(number(results, "bytes", "up_per_site_round"))),
        ("Full model, for comparison", size(number(results, "bytes", "full_model"))),
        ("Up, whole run", size(total_bytes(entries, "bytes_up"))),
        ("Down, whole run", size(total_bytes(entries, "bytes_down"))),
    ]
    return pairs("Bytes", ("What", "Size"), rows)


def seconds_table(results: Mapping[str, Any]) -> Table:
    """Wall-clock time of the run's parts."""
    labels = {"prepare": "Preparation", "rounds": "Rounds", "comparison": "Comparison", "total": "Whole run"}
    rows = [(label, duration(number(results, "seconds", key))) for key, label in labels.items()]
    return pairs("Time", ("Part", "Wall-clock time"), rows)


def privacy_statement(results: Mapping[str, Any]) -> str:
    """Say in words that there is no formal guarantee, or what it is, or else what was recorded of it."""
    recorded = "; ".join(f"{name} {value}" for name, value in _flat(section(results, "privacy")))
    return " ".join(privacy.sentences(results)) or f"Recorded privacy accounting: {recorded}."


def details_table(caption: str, found: Mapping[str, Any]) -> Table:
    """Any mapping of names to values, nested ones with dotted names; absent values as a dash."""
    return pairs(caption, ("Name", "Value"), _flat(found))


def recorded_tables(results: Mapping[str, Any]) -> tuple[Table, ...]:
    """Digests, versions, and how the run computed; those that were not recorded are left out."""
    parts = {"digests": "Digests", "versions": "Versions", "execution": "Execution"}
    return tuple(details_table(title, found) for key, title in parts.items() if (found := section(results, key)))


def _flat(found: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", DASH if value is None else value if isinstance(value, str) else json.dumps(value)


def command(results: Mapping[str, Any]) -> str:
    """Return the command that runs the same study again, quoted for a shell; empty where none does."""
    return shlex.join(str(word) for word in results.get("command") or ())


def study_text(results: Mapping[str, Any]) -> str:
    """Return the whole study as it ran, as indented JSON."""
    return json.dumps(section(results, "study"), indent=2, ensure_ascii=False)
