"""Tables as the shared templates show them, and numbers as a person reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from client.site_folder import short

Tone = Literal["", "good", "warn", "bad", "muted"]
DASH: Final = "-"
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Cell:
    """One cell: text, a smaller second line, a tone."""

    text: str
    detail: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """A caption, a header, and rows whose first cell names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Note:
    """One line that stands out, in a tone."""

    text: str
    tone: Tone = ""


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> Table:
    """Return a table; a text is a cell of nothing else."""
    cells = (tuple(Cell(each) if isinstance(each, str) else each for each in row) for row in rows)
    return Table(caption, tuple(header), tuple(cells))


def size(size_bytes: int) -> str:
    """Return bytes in the unit of a thousand that fits.

    >>> size(999), size(12_345), size(2_000_000)
    ('999 B', '12.3 kB', '2.0 MB')
    """
    value, unit = float(size_bytes), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{size_bytes} B"


def count(number: int) -> str:
    """Return a number with its thousands apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def digest_cell(digest: str | None) -> Cell:
    """Return the beginning of a digest, of which folders are named too."""
    return Cell(DASH, tone="muted") if digest is None else Cell(short(digest))


def clock(time: str) -> str:
    """Return a time of a log to the second, in UTC.

    >>> clock("2026-11-30T17:16:55.123+00:00")
    '2026-11-30 17:16:55'
    """
    return time[:19].replace("T", " ")
