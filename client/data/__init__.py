"""Data sources: one file is one kind of source (`data.kind` in the study). All give `Rows`.

A source module has `build`, a frozen dataclass without options that is a `Source`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol  # a feature column holds numbers or words

import numpy as np
from numpy.typing import NDArray

from common.data_schema import DataSection
from common.metrics.measure import Labels
from common.study import TaskSection


@dataclass(frozen=True)
class Rows:
    """Labelled examples of one site (or of all, before a partition).

    inputs: (n,) rendered texts, or files of images. labels: (n, ...) as the task reads them. patients: (n,) patient
        ids as text.
    features: typed columns by name, each (n,), None where missing; empty where the data are plain text.
    columns: further raw columns as text, such as the site column.
    """

    inputs: Sequence[str]
    labels: Labels
    patients: Sequence[str]
    features: Mapping[str, Sequence[Any]]
    columns: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: NDArray[np.int64]) -> "Rows":
        """Return the rows at these positions, in this order."""
        return Rows(
            inputs=[self.inputs[i] for i in index],
            labels=self.labels[index],
            patients=[self.patients[i] for i in index],
            features={name: [values[i] for i in index] for name, values in self.features.items()},
            columns={name: [values[i] for i in index] for name, values in self.columns.items()},
        )


@dataclass(frozen=True)
class Inputs:
    """What a model reads of rows: texts or files of images (n,), and typed columns (n,) by name, None where missing."""

    inputs: Sequence[str]
    features: Mapping[str, Sequence[Any]]


class Source(Protocol):
    """What a source file's `build` makes. Its errors are DataErrors that name the file, no folder and no patient."""

    def read(self, path: Path, *, section: DataSection, task: TaskSection) -> Rows:
        """Return the labelled rows at `path`."""

    def read_inputs(self, path: Path, *, section: DataSection) -> Inputs:
        """Return the inputs of the rows at `path`, which need neither labels nor patient ids: for prediction."""

    def wrong_inputs(self, path: Path, inputs: Sequence[str]) -> Sequence[str | None]:
        """Say of each row's rendered input why a model could not read it; None where it can. `path`: the table."""

    def files_beside(self, path: Path, inputs: Sequence[str]) -> Mapping[str, Path]:
        """Return the files that these rendered inputs name, by that name; none where inputs are texts."""
