"""Notes of three made-up clinics, for trying the system in seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.seeds import generator
from simulations.builtin_rows._tables import in_any_order, one_of, write_table

SEED = 2


@dataclass(frozen=True)
class Clinic:
    """A generated site: its number of rows and the share of them with the outcome `yes`."""

    name: str
    rows: int
    positives: float


CLINICS = (Clinic("east", 60, 0.5), Clinic("north", 45, 0.7), Clinic("west", 30, 0.35))
SIGNS: Mapping[str, Sequence[str]] = {
    "yes": ("fever", "cough", "breathless", "chills", "sputum", "crackles"),
    "no": ("rash", "itching", "sprain", "headache", "earache", "backache"),
}
FINDINGS = ("pulse", "pressure", "weight", "sleep", "appetite", "walking")
STATES = ("normal", "reduced", "unchanged", "better")
OPENINGS = ("seen today with", "returns with", "reports", "admitted with")
NOISE = 0.1
"""Share of signs drawn from the other outcome's words: the rows can be learned, and not perfectly."""


def rows() -> list[dict[str, str]]:
    """Return the generated rows: site, patient, age, note, outcome. Every fifth patient has two rows."""
    return [row for clinic in CLINICS for row in _clinic_rows(clinic)]


def _clinic_rows(clinic: Clinic) -> list[dict[str, str]]:
    rng = generator(SEED, site=clinic.name, purpose="quick rows")
    ages = rng.integers(20, 90, size=clinic.rows)
    numbers = [number for number in range(clinic.rows) for _ in range(2 if number % 5 == 0 else 1)][: clinic.rows]
    return [
        {
            "site": clinic.name,
            "patient": f"{clinic.name}-{number + 1:02d}",
            "age": str(ages[number]),
            **write_note(clinic.positives, rng),
        }
        for number in numbers
    ]


def write_note(positives: float, rng: np.random.Generator) -> dict[str, str]:
    """Return a note with its outcome, which is `yes` with probability `positives`."""
    outcome, other = ("yes", "no") if rng.random() < positives else ("no", "yes")
    words = {kind: in_any_order(SIGNS[kind], rng) for kind in SIGNS}
    signs = [words[other if rng.random() < NOISE else outcome].pop() for _ in range(3)]
    findings = [f"{one_of(FINDINGS, rng)} {one_of(STATES, rng)}" for _ in range(2)]
    return {"note": f"{one_of(OPENINGS, rng)} {' and '.join(signs)}, {', '.join(findings)}", "outcome": outcome}


def write(folder: Path) -> Path:
    """Write `rows()` as CSV."""
    return write_table(folder / "quick.csv", rows())
