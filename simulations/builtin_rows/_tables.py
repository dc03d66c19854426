"""Writing generated rows."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.files import write_bytes


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write rows with equal keys as CSV, the same bytes everywhere, and return `path`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())
    return path
