"""What partitions share: they deal out patients, then every row follows its patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError


@dataclass(frozen=True)
class Patients:
    """The distinct patients, sorted by id; `of_row` (n,) is each row's position among them."""

    count: int
    of_row: NDArray[np.int64]

    @classmethod
    def of(cls, patients: Sequence[str], *, sites: int) -> "Patients":
        """Find the distinct patients; fewer than one per site is a DataError."""
        ids, of_row = np.unique(np.array(patients, dtype=np.str_), return_inverse=True)
        if len(ids) < sites:
            raise DataError(f"simulation.partition: {len(ids)} patients cannot fill {sites} sites; ask for fewer sites")
        return cls(len(ids), of_row.astype(np.int64))

    def majority(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each patient's most frequent label, the smallest where two are as frequent; (count,)."""
        votes = np.zeros((self.count, int(labels.max()) + 1), dtype=np.int64)
        np.add.at(votes, (self.of_row, labels), 1)
        most: NDArray[np.int64] = votes.argmax(axis=1)
        return most
