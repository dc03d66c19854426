"""The notes of `quick`, each with the reply that a made-up senior doctor writes below it."""

from pathlib import Path

from simulations.builtin_rows import quick
from simulations.builtin_rows._tables import write_table

REPLIES = {"yes": "infection likely, take blood and start antibiotics", "no": "no infection, send home with advice"}
OLD = 65


def rows() -> list[dict[str, str]]:
    """Return the rows of `quick` with `reply` in place of the outcome."""
    kept = ("site", "patient", "age", "note")
    return [{name: row[name] for name in kept} | {"reply": reply(row["note"], row["age"])} for row in quick.rows()]


def reply(note: str, age: str) -> str:
    """Return what is written below a note: by most of its signs, and for the old a day in hospital.

    >>> reply("reports fever and rash and chills, pulse normal", "70")
    'infection likely, take blood and start antibiotics, keep in hospital'
    """
    signs = {kind: sum(sign in note for sign in signs) for kind, signs in quick.SIGNS.items()}
    likely = max(signs, key=signs.__getitem__)
    return REPLIES[likely] + (", keep in hospital" if int(age) >= OLD else "")


def write(folder: Path) -> Path:
    """Write `rows()` as CSV."""
    return write_table(folder / "quick-notes.csv", rows())
