"""`diagnostics.csv`: the figures of `server.diagnostics` as a table, one row per round and site.

pandas.read_csv("DIR/diagnostics.csv").groupby("round").first()    the figures of each round
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final  # results are JSON

from common.files import write_bytes
from server.report.values import find, number, rounds_of, section

CSV: Final = "diagnostics.csv"
_OF_ROUND = ("aggregation_error", "effective_rank", "drift", "pairwise_cosine", "aggregated_norm")
_OF_SITE = {"update_norm": "update_norms", "cosine": "cosines"}
HEADER: Final = ("round", "site", "status", "examples", *_OF_SITE, *_OF_ROUND)
"""What is of the round, and not of the site, stands alike in all of the round's rows. Absent is empty."""


def write_diagnostics(results: Mapping[str, Any], out: Path) -> None:
    """Write the table of `results`, the content of `results.json`, to the file `out`, atomically."""
    write_bytes(out, diagnostics_csv(results).encode())


def diagnostics_csv(results: Mapping[str, Any]) -> str:
    """Return the table; a run without rounds has its header only."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEADER)
    for entry in rounds_of(results):
        table.writerows(_rows(entry))
    return text.getvalue()


def _rows(entry: Mapping[str, Any]) -> Iterator[list[object]]:
    of_round = [number(entry, "diagnostics", key) for key in _OF_ROUND]
    for site, reply in section(entry, "participation").items():
        of_site = [number(entry, "diagnostics", key, site) for key in _OF_SITE.values()]
        yield [entry.get("round"), site, find(reply, "status"), find(reply, "examples"), *of_site, *of_round]
