"""Poisson samples of patients: each takes part in a step by a draw of its own, and brings a bounded number of rows.

What is accounted for is this sampling (`common.privacy`): the number of patients in a step is random, and may be none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.privacy._noise import NoiseSource

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class PatientRows:
    """A site's training rows by patient: positions of the rows of each, in the order of first appearance."""

    rows: tuple[Rows, ...]

    @classmethod
    def of(cls, patients: Sequence[str]) -> PatientRows:
        """Group the rows by patient.

        >>> [rows.tolist() for rows in PatientRows.of(["a", "b", "a"]).rows]
        [[0, 2], [1]]
        """
        places: dict[str, list[int]] = {}
        for row, patient in enumerate(patients):
            places.setdefault(patient, []).append(row)
        return cls(tuple(np.array(rows, dtype=np.int64) for rows in places.values()))

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, probability: float, *, most_rows: int, uniform: NoiseSource) -> list[Rows]:
        """Return the rows of each patient that takes part, at most `most_rows` of each, chosen at random.

        probability: of each patient, by itself. uniform: gives numbers in (0, 1).
        """
        drawn = uniform(len(self)) < probability
        return [_some(self.rows[patient], most_rows, uniform) for patient in np.flatnonzero(drawn)]


def _some(rows: Rows, most: int, uniform: NoiseSource) -> Rows:
    return rows if len(rows) <= most else np.sort(rows[np.argsort(uniform(len(rows)))[:most]])


def chunks(patients: Sequence[Rows], lengths: Sequence[int], *, most_rows: int) -> list[list[Rows]]:
    """Deal patients to lists of at most `most_rows` rows, or of one patient, such that rows of like length meet.

    Clipping needs all rows of a patient at once. What a step computes does not depend on how patients are dealt.

    >>> [[rows.tolist() for rows in part] for part in chunks([np.array([0, 1]), np.array([2])], [9, 5, 7], most_rows=2)]
    [[[2]], [[0, 1]]]
    """
    ordered = sorted(patients, key=lambda rows: max(lengths[row] for row in rows))
    found: list[list[Rows]] = []
    for rows in ordered:
        if found and sum(map(len, found[-1])) + len(rows) <= most_rows:
            found[-1].append(rows)
        else:
            found.append([rows])
    return found
