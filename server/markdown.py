"""Markdown from the report's values: text that cannot become markup, tables, fenced blocks."""

import re

from server.report.layout import Cell, Table

SPECIAL = re.compile(r"([\\`*_\[\]<>|~&@$]|:(?=//)|(?<=www)\.)")
BLOCK_START = re.compile(r"^(\d*)([-+#=.)])")


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line.

    >>> print(escaped("a|b <i> (c)"))
    a\\|b \\<i\\> (c)
    """
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def paragraph(text: str) -> str:
    """Return text that is a paragraph, whatever it starts with: no heading, list or rule.

    >>> print(paragraph("# one"), paragraph("2. two"))
    \\# one 2\\. two
    """
    return BLOCK_START.sub(r"\1\\\2", escaped(text))


def code_span(text: str) -> str:
    """Return text in backticks; its own backticks are dropped."""
    return f"`{' '.join(text.replace('`', '').split())}`"


def fenced(text: str, *, language: str = "") -> str:
    """Return a fenced block, with a fence longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def markdown_table(table: Table) -> str:
    """Return the table with its caption above and its footnotes below."""
    notes = table.notes
    lines = [_line([escaped(name) for name in table.header]), _line(["---", *["---:"] * (len(table.header) - 1)])]
    lines += [_line([_cell(cell, notes) for cell in row]) for row in table.rows]
    below = [f"{place}. {escaped(note)}" for place, note in enumerate(notes, start=1)]
    return "\n".join([f"**{escaped(table.caption)}**", "", *lines, *([""] if below else []), *below])


def _cell(cell: Cell, notes: list[str]) -> str:
    mark = f"<sup>{notes.index(cell.note) + 1}</sup>" if cell.note else ""
    detail = f" ({escaped(cell.detail)})" if cell.detail else ""
    return f"{escaped(cell.text)}{mark}{detail}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
