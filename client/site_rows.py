"""A site's rows in three parts, by patient, each tokenised once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # a column holds numbers or words

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
    """Split rows by patient and tokenise each part."""
    parts = split_of(rows, study)
    return SiteRows(*(_encode(rows.take(i), bench) for i in (parts.train, parts.validation, parts.test)))


def split_of(rows: Rows, study: Study) -> Parts:
    """Return the positions of a site's training, validation and test rows."""
    return split_patients(
        rows.patients,
        split_seed=study.evaluation.split_seed,
        validation_fraction=study.evaluation.validation_fraction,
        test_fraction=study.evaluation.test_fraction,
    )


def _encode(rows: Rows, bench: Workbench) -> SplitRows:
    examples = bench.task.encode(bench.reader, rows.inputs, rows.labels, max_length=bench.max_length)
    return SplitRows(examples, rows.labels, rows.patients, rows.features)
