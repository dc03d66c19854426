"""What a report is made of: sections of paragraphs, tables and figures. No HTML here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from server.report.formats import DASH, interval, plain, signed, signed_interval, worded
from server.report.values import Estimate

Tone = Literal["", "good", "bad", "muted"]


@dataclass(frozen=True)
class Cell:
    """One cell: text, a smaller second line, and the footnote that it refers to. Colour never stands alone."""

    text: str
    detail: str = ""
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """A caption, a header, and rows whose first cell names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def notes(self) -> list[str]:
        """The distinct footnotes, in order of appearance; the mark of a cell is its note's place, from 1."""
        return list(dict.fromkeys(cell.note for row in self.rows for cell in row if cell.note))


@dataclass(frozen=True)
class Key:
    """One line of a figure's legend: the line's name, colour role and dash pattern (SVG)."""

    name: str
    role: str
    dash: str = ""


@dataclass(frozen=True)
class Figure:
    """An SVG, what it shows in one sentence, and its legend."""

    svg: str
    caption: str
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Section:
    """A heading with what follows it, in this order, paragraphs and points first.

    points: a list of sentences. code: shown as typed. folded: a title and a long text to unfold.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    code: str = ""
    folded: tuple[str, str] | None = None
    points: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing under the heading."""
        return not (self.paragraphs or self.points or self.figures or self.tables or self.code or self.folded)


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """Return a table from any sequences."""
    return Table(caption, tuple(header), tuple(tuple(row) for row in rows))


def pairs(caption: str, header: tuple[str, str], rows: Iterable[tuple[str, str]]) -> Table:
    """Return a table of two columns of text."""
    return table(caption, header, ((Cell(name), Cell(value)) for name, value in rows))


def score_cell(estimate: Estimate, *, missing: str = "") -> Cell:
    """Return the cell of a score: value, interval below, and why where there is none."""
    note = _note(estimate)
    if estimate.value is None:
        return Cell(DASH, note=note or missing, tone="muted")
    return Cell(plain(estimate.value), interval(estimate), note)


def difference_cell(estimate: Estimate) -> Cell:
    """Return the cell of a difference, with signs."""
    if estimate.value is None:
        return Cell(DASH, note=_note(estimate), tone="muted")
    return Cell(signed(estimate.value), signed_interval(estimate), _note(estimate))


def _note(estimate: Estimate) -> str:
    parts = [] if estimate.reason is None else [worded(estimate.reason)]
    if estimate.value is not None and estimate.error:
        parts.append(f"from score histograms, exact to within {estimate.error:.2g}")
    return "; ".join(parts)
