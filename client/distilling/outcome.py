"""What a student is worth beside its teacher: metrics on the same test rows, size, speed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # JSON values

from client.site_rows import SplitRows
from common.metrics.measure import Measure
from common.metrics.types import Floats, Metric
from common.seeds import generator


@dataclass(frozen=True)
class Model:
    """One of the two models. size_bytes: of its files. metrics: on the test rows, none without such rows."""

    parameters: int
    size_bytes: int
    rows_per_second: float
    metrics: Mapping[str, Metric]

    def to_json(self) -> dict[str, Any]:
        """Return a value for distill.json."""
        metrics = {name: metric.to_json() for name, metric in self.metrics.items()}
        return {
            "parameters": self.parameters,
            "size_bytes": self.size_bytes,
            "rows_per_second": self.rows_per_second,
            "test": metrics,
        }


@dataclass(frozen=True)
class Distilled:
    """A student beside its teacher.

    difference: of the leading metric, the student's minus the teacher's, paired; None without test rows. epoch: the one
    that validation rows chose. rows: how many there are in each part. shape: the student's config, in words.
    """

    teacher: Model
    student: Model
    lead: str
    difference: Metric | None
    epoch: int
    epochs: int
    rows: Mapping[str, int]
    vocabulary: int
    shape: str
    settings: Mapping[str, Any]

    @property
    def fraction(self) -> float:
        """The student's share of the teacher's parameters."""
        return self.student.parameters / self.teacher.parameters

    def to_json(self) -> dict[str, Any]:
        """Return the content of distill.json; absent is null."""
        return {
            "format": 1,
            "teacher": self.teacher.to_json(),
            "student": self.student.to_json(),
            "fraction": self.fraction,
            "lead": self.lead,
            "difference": None if self.difference is None else self.difference.to_json(),
            "epoch": self.epoch,
            "rows": dict(self.rows),
            "vocabulary": self.vocabulary,
            "shape": self.shape,
            "settings": dict(self.settings),
        }


def compared(
    measure: Measure, part: SplitRows, teacher: Floats, student: Floats, *, resamples: int, seed: int
) -> tuple[Mapping[str, Metric], Mapping[str, Metric], Metric | None]:
    """Return metrics of both models' outputs on the test rows, and the paired difference of the leading one."""
    if not len(part):
        return {}, {}, None
    found = [
        measure.evaluate(
            outputs, part.labels, part.patients, resamples=resamples, rng=generator(seed, purpose="distilling: test")
        ).metrics
        for outputs in (teacher, student)
    ]
    rng = generator(seed, purpose="distilling: difference")
    difference = measure.difference(student, teacher, part.labels, part.patients, resamples=resamples, rng=rng)
    return found[0], found[1], difference
