"""What left, from the lines of the journal: totals of each study, bytes of each day, and pages of lines."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from client.dashboard.cells import DASH, Cell, Table, Tone, clock, count, digest_cell, table
from client.dashboard.journal_reading import Line
from client.site_folder import short

PAGE_LINES: Final = 50
MOST_DAYS: Final = 120
"""Days of the chart, up to the last on which something happened."""
_TONES: Final[Mapping[str, Tone]] = {"released": "", "repeated": "muted", "refused": "bad"}
_LINE_HEADER: Final = (
    "Time, UTC",
    "Decision",
    "Study",
    "Run",
    "Round",
    "Kind",
    "Bytes",
    "What left",
    "Policy",
    "Digest",
)


@dataclass(frozen=True)
class Page:
    """One page of the journal, from 1, of `pages`."""

    number: int
    pages: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Total:
    """What a study's lines come to. size_bytes: of all that left, each repetition too."""

    study: str
    released: int
    repeated: int
    refused: int
    size_bytes: int
    last: str


def page_of(lines: Sequence[Line], number: int, *, size: int = PAGE_LINES) -> Page:
    """Return a page, the newest lines first; a number that is out of range is the nearest one."""
    pages = max(1, -(-len(lines) // size))
    number = min(max(1, number), pages)
    end = len(lines) - (number - 1) * size
    return Page(number, pages, tuple(reversed(lines[max(0, end - size) : end])))


def totals(lines: Sequence[Line]) -> list[Total]:
    """Return the total of each study, in the order of their first lines."""
    decisions = Counter((line.study, line.decision) for line in lines)
    sizes: Counter[str] = Counter()
    last: dict[str, str] = {}
    for line in lines:
        sizes[line.study] += line.size_bytes if line.left else 0
        last[line.study] = line.time
    return [
        Total(
            study=study,
            released=decisions[study, "released"],
            repeated=decisions[study, "repeated"],
            refused=decisions[study, "refused"],
            size_bytes=sizes[study],
            last=time,
        )
        for study, time in last.items()
    ]


def bytes_by_day(lines: Sequence[Line]) -> dict[str, int]:
    """Return the bytes that left on each day (UTC) from the first line's to the last one's, at most MOST_DAYS."""
    left: Counter[str] = Counter()
    for line in lines:
        left[line.time[:10]] += line.size_bytes if line.left else 0
    if not left:
        return {}
    last = date.fromisoformat(max(left))
    first = max(date.fromisoformat(min(left)), last - timedelta(days=MOST_DAYS - 1))
    days = ((first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1))
    return {day: left[day] for day in days}


def totals_table(found: Sequence[Total], names: Mapping[str, str]) -> Table:
    """Return the totals as a table. names: of approved studies, by digest."""
    rows: list[list[Cell | str]] = [
        [
            study_cell(each.study, names),
            count(each.released),
            count(each.repeated),
            count(each.refused),
            count(each.size_bytes),
            clock(each.last),
        ]
        for each in found
    ]
    header = ["Study", "Answers that left", "Sent once more", "Refused", "Bytes that left", "Last line, UTC"]
    return table("What left, by study", header, rows)


def lines_table(page: Page, names: Mapping[str, str]) -> Table:
    """Return one page of lines as a table."""
    caption = f"Journal, newest first: page {page.number} of {page.pages}"
    return table(caption, _LINE_HEADER, [list(_cells(line, names)) for line in page.lines])


def study_cell(study: str, names: Mapping[str, str]) -> Cell:
    """Return a study's name, or that it is not approved any more, over its digest."""
    return Cell(names.get(study, "not approved now"), short(study), "" if study in names else "muted")


def _cells(line: Line, names: Mapping[str, str]) -> Iterator[Cell]:
    yield Cell(clock(line.time), f"receipt {line.seq}" if line.seq else "")
    yield Cell(line.decision, tone=_TONES[line.decision])
    yield study_cell(line.study, names)
    yield Cell(line.run)
    yield Cell(str(line.round))
    yield Cell(line.kind)
    yield Cell(count(line.size_bytes))
    yield Cell(*what(line))
    yield digest_cell(line.policy)
    yield digest_cell(line.digest)


def what(line: Line) -> tuple[str, str]:
    """Return what left in words, and the names of metrics; of a refusal its reason."""
    if not line.left:
        return line.reason or DASH, ""
    if line.kind == "preflight":
        return "whether the study can work here", ""
    parts = [f"{line.tensors} tensors"] if line.tensors else []
    parts += [f"{len(line.metrics)} metrics"] if line.metrics else []
    parts += [f"score summaries of {', '.join(line.histograms)}"] if line.histograms else []
    return ", ".join(parts) or "counts alone", ", ".join(line.metrics)
