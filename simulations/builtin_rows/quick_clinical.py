"""Clinical notes of three made-up hospitals, with a made-up name and record number in each: for auditing what leaks.

Nobody's: names are of made-up syllables. What a note is about is that of the `quick` rows.
"""

from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from common.seeds import generator
from simulations.builtin_rows import quick
from simulations.builtin_rows._tables import one_of, write_table
from simulations.builtin_rows.quick import Clinic

SEED = 6
HOSPITALS = (Clinic("hill", 300, 0.5), Clinic("lake", 220, 0.65), Clinic("port", 160, 0.4))
NAMES = 300
"""Of given names, and of surnames."""


@cache
def given_names() -> tuple[str, ...]:
    """Return made-up given names, of two syllables."""
    return _names(["".join(pair) for pair in product(_syllables("bdfk"), _syllables("lmnr"))], "given")


@cache
def surnames() -> tuple[str, ...]:
    """Return made-up surnames, of two syllables and an ending."""
    return _names(["".join(pair) + "sen" for pair in product(_syllables("ghjp"), _syllables("stvz"))], "surnames")


def _syllables(consonants: str) -> list[str]:
    return ["".join(pair) for pair in product(consonants, "aeiou")]


def _names(every: list[str], purpose: str) -> tuple[str, ...]:
    order = generator(SEED, purpose=f"clinical {purpose}").permutation(len(every))
    return tuple(every[place] for place in order[:NAMES])


def rows() -> list[dict[str, str]]:
    """Return the generated rows: site, patient, age, note, outcome. Every fifth patient has two rows."""
    return [row for hospital in HOSPITALS for row in _hospital_rows(hospital)]


def _hospital_rows(hospital: Clinic) -> list[dict[str, str]]:
    rng = generator(SEED, site=hospital.name, purpose="clinical rows")
    numbers = [number for number in range(hospital.rows) for _ in range(2 if number % 5 == 0 else 1)]
    people = {number: _person(rng) for number in dict.fromkeys(numbers)}
    return [
        {"site": hospital.name, "patient": f"{hospital.name}-{number + 1:03d}", **_row(people[number], hospital, rng)}
        for number in numbers[: hospital.rows]
    ]


def _person(rng: np.random.Generator) -> Mapping[str, str]:
    name = f"{one_of(given_names(), rng)} {one_of(surnames(), rng)}"
    return {"age": str(rng.integers(20, 90)), "name": name, "record": f"{rng.integers(10**6):06d}"}


def _row(person: Mapping[str, str], hospital: Clinic, rng: np.random.Generator) -> dict[str, str]:
    found = quick.write_note(hospital.positives, rng)
    note = f"{person['name']}, record {person['record']}, {found['note']}"
    return {"age": person["age"], "note": note, "outcome": found["outcome"]}


def write(folder: Path) -> Path:
    """Write `rows()` as CSV."""
    return write_table(folder / "quick-clinical.csv", rows())
