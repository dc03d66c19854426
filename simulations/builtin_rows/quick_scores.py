"""The notes of `quick`, each with a score: ten for each sign of infection, and something for age."""

from pathlib import Path

from simulations.builtin_rows import quick
from simulations.builtin_rows._tables import write_table


def rows() -> list[dict[str, str]]:
    """Return the rows of `quick` with `score` in place of the outcome."""
    kept = ("site", "patient", "age", "note")
    return [{name: row[name] for name in kept} | {"score": score(row["note"], row["age"])} for row in quick.rows()]


def score(note: str, age: str) -> str:
    """Return the score of a note.

    >>> score("reports fever and chills, pulse normal", "60")
    '26.0'
    """
    return str(10.0 * sum(sign in note for sign in quick.SIGNS["yes"]) + int(age) / 10)


def write(folder: Path) -> Path:
    """Write `rows()` as CSV."""
    return write_table(folder / "quick-scores.csv", rows())
