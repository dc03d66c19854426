"""The notes of `quick`, each with the signs among three that it names."""

from pathlib import Path

from simulations.builtin_rows import quick
from simulations.builtin_rows._tables import write_table

LABELS = ("fever", "cough", "rash")


def rows() -> list[dict[str, str]]:
    """Return the rows of `quick` with `signs`, parted by semicolons, in place of the outcome."""
    kept = ("site", "patient", "note")
    return [{name: row[name] for name in kept} | {"signs": signs(row["note"])} for row in quick.rows()]


def signs(note: str) -> str:
    """Return those of LABELS that a note names.

    >>> signs("returns with rash and fever, pulse normal")
    'fever;rash'
    """
    return ";".join(label for label in LABELS if label in note)


def write(folder: Path) -> Path:
    """Write `rows()` as CSV."""
    return write_table(folder / "quick-labels.csv", rows())
