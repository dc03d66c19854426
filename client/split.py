"""Which rows train, validate and test: decided by a hash of the patient id.

All rows of a patient fall in one part. A patient's part depends on the study's split seed and its own id only, so that
neither the order of rows nor patients who come later move anyone from test to training.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parts:
    """Positions of rows (int64, ascending) of the three parts; together they are all rows, none twice."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def patient_fraction(patient: str, *, split_seed: int) -> float:
    """Return a number in [0, 1), uniform over patients.

    >>> round(patient_fraction("cleveland-001", split_seed=0), 4)
    0.0921
    """
    digest = hashlib.sha256(f"{split_seed}|{patient}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits: a float holds them, so 1.0 cannot come out


def split_patients(
    patients: Sequence[str], *, split_seed: int, validation_fraction: float, test_fraction: float
) -> Parts:
    """Split rows by their patients: below `test_fraction` test, then validation, the rest training."""
    fractions = np.array([patient_fraction(patient, split_seed=split_seed) for patient in patients], dtype=np.float64)
    test = fractions < test_fraction
    validation = ~test & (fractions < test_fraction + validation_fraction)
    return Parts(
        train=_positions(~test & ~validation),
        validation=_positions(validation),
        test=_positions(test),
    )


def _positions(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(chosen).astype(np.int64)
