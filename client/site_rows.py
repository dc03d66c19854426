"""A site's rows in three parts, by patient, each tokenised once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any  # a column holds numbers or words

import numpy as np
from numpy.typing import NDArray

from client.data import Rows
from client.split import Parts, split_patients
from common.metrics.measure import Labels
from common.protocol import Split
from common.study import Study
from common.tasks import AnyExample
from common.workbench import Workbench


@dataclass(frozen=True)
class SplitRows:
    """One part of a site's rows, tokenised once. features: the typed columns (n,), None where a value is missing."""

    examples: Sequence[AnyExample]
    labels: Labels
    patients: Sequence[str]
    features: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def tokens(self) -> int:
        """What the model reads in one pass over them."""
        return sum(example.length for example in self.examples)


@dataclass(frozen=True)
class SiteRows:
    """A site's rows in their three parts, fixed for the life of the study."""

    train: SplitRows
    validation: SplitRows
    test: SplitRows

    def part(self, split: Split) -> SplitRows:
        """Return the validation or test rows."""
        return self.validation if split == "validation" else self.test


def prepare_rows(rows: Rows, study: Study, bench: Workbench) -> SiteRows:
    """Tokenise rows and split them by patient."""
    return split_rows(rows, encoded(rows, bench), study)


def encoded(rows: Rows, bench: Workbench) -> Sequence[AnyExample]:
    """Return each row as the model reads it, (n,)."""
    found: Sequence[AnyExample] = bench.task.encode(bench.reader, rows.inputs, rows.labels, max_length=bench.max_length)
    return found


def split_rows(rows: Rows, examples: Sequence[AnyExample], study: Study) -> SiteRows:
    """Split a site's rows, whose tokens are given, by patient."""
    parts = split_of(rows, study)
    return SiteRows(*(_part(rows, examples, index) for index in (parts.train, parts.validation, parts.test)))


def split_of(rows: Rows, study: Study) -> Parts:
    """Return the positions of a site's training, validation and test rows."""
    return split_patients(
        rows.patients,
        split_seed=study.evaluation.split_seed,
        validation_fraction=study.evaluation.validation_fraction,
        test_fraction=study.evaluation.test_fraction,
    )


def _part(rows: Rows, examples: Sequence[AnyExample], index: NDArray[np.int64]) -> SplitRows:
    taken = rows.take(index)
    return SplitRows([examples[i] for i in index], taken.labels, taken.patients, taken.features)
