"""Figures as a long table, `rounds.csv` in the run's folder: one row for each round, site and name.

The column `site` is empty for a figure of all sites. Rows are appended; what a full disk or a killed process has
left of one is cut off before the next is written.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.files import write_bytes
from server.trackers import Batch, Facts, Finished, Point, TrackingError

FILE: Final = "rounds.csv"
HEADER: Final = ("round", "site", "name", "value", "low", "high", "n")
Key = tuple[int, str | None, str]


@dataclass(frozen=True)
class Csv:
    """The table of a run; it takes no target."""

    target: str = ""

    def __post_init__(self) -> None:
        if self.target:
            raise ValueError(f"csv takes no target; the table is {FILE} in the run's folder")

    def open(self, run: Path, facts: Facts) -> "Table":  # noqa: ARG002 # the protocol's
        """Open the table, and read which rows it has."""
        path = run / FILE
        return Table(path, _whole_rows(path))


@dataclass(frozen=True)
class Table:
    """An open table; `written` are the keys of its rows."""

    path: Path
    written: set[Key]

    def add(self, batch: Batch) -> None:
        """Append the rows that are not there."""
        new = [point for point in batch.points if point.key not in self.written]
        if new:
            with self.path.open("ab") as file:
                file.write(_text(_row(point) for point in new))
            self.written.update(point.key for point in new)

    def end(self, finished: Finished | None) -> None:
        """Append the last rows; everything else that a run leaves lies beside the table."""
        if finished is not None:
            self.add(finished.batch)

    def close(self) -> None:
        """Nothing is held open."""


def _whole_rows(path: Path) -> set[Key]:
    """Return the keys of the whole rows, and cut off what is behind them; a file that is not there is begun."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if not whole:
        write_bytes(path, _text([HEADER]), durable=False)
        return set()
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    header, *rows = csv.reader(io.StringIO(whole.decode("utf-8", errors="replace")))
    try:
        if tuple(header) != HEADER:
            raise ValueError
        return {(int(row[0]), row[1] or None, row[2]) for row in rows}
    except (ValueError, IndexError):
        raise TrackingError(f"{path} is not a table of ours; move it away") from None


def _row(point: Point) -> tuple[object, ...]:
    rest = ("" if each is None else each for each in (point.low, point.high, point.n))
    return (point.round, point.site or "", point.name, point.value, *rest)


def _text(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


build = Csv
