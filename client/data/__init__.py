"""Data sources: one file is one kind of source (`data.kind` in the study). All give `Rows`.

A source module has `build`, a frozen dataclass without options of a path, with
`read(path, *, section: DataSection, task: TaskSection) -> Rows`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # a feature column holds numbers or words

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Labelled examples of one site (or of all, before a partition).

    texts: (n,) rendered inputs. labels: int64 (n,) indices into the task's labels. patients: (n,) patient ids as text.
    features: typed columns by name, each (n,), None where missing; empty where the data are plain text.
    columns: further raw columns as text, such as the site column.
    """

    texts: Sequence[str]
    labels: NDArray[np.int64]
    patients: Sequence[str]
    features: Mapping[str, Sequence[Any]]
    columns: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: NDArray[np.int64]) -> "Rows":
        """Return the rows at these positions, in this order."""
        return Rows(
            texts=[self.texts[i] for i in index],
            labels=self.labels[index],
            patients=[self.patients[i] for i in index],
            features={name: [values[i] for i in index] for name, values in self.features.items()},
            columns={name: [values[i] for i in index] for name, values in self.columns.items()},
        )
