"""The notes of `quick`, each word with a tag: signs, and findings of two words."""

import re
from pathlib import Path

from simulations.builtin_rows import quick
from simulations.builtin_rows._tables import write_table

SIGNS = {word for words in quick.SIGNS.values() for word in words}


def rows() -> list[dict[str, str]]:
    """Return the rows of `quick` with `tags` in place of the outcome."""
    return [
        {"site": row["site"], "patient": row["patient"], "note": row["note"], "tags": " ".join(tags(row["note"]))}
        for row in quick.rows()
    ]


def tags(note: str) -> list[str]:
    """Return a tag for each word of a note.

    >>> tags("reports fever and chills, pulse normal")
    ['O', 'B-sign', 'O', 'B-sign', 'B-finding', 'I-finding']
    """
    words = [re.sub(r"\W", "", word) for word in note.split()]
    return [_tag(word, before) for word, before in zip(words, ["", *words], strict=False)]


def _tag(word: str, before: str) -> str:
    if word in SIGNS:
        return "B-sign"
    if word in quick.FINDINGS:
        return "B-finding"
    return "I-finding" if before in quick.FINDINGS else "O"


def write(folder: Path) -> Path:
    """Write `rows()` as CSV."""
    return write_table(folder / "quick-tokens.csv", rows())
