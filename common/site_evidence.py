"""What a site says once, at the end, beside the metrics of all its test rows: cohort, subgroups, recalibration.

`common.evidence_json` writes it for the wire and reads it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from common.cohort_statistics import Cohort
from common.metrics.measure import Summary
from common.metrics.recalibration import Recalibration
from common.metrics.types import Scores
from common.study_evaluation import EvaluationSection


@dataclass(frozen=True)
class Subgroup:
    """Metrics of the test rows of one subgroup, and the summary where the site's policy releases it."""

    scores: Scores
    summary: Summary | None = None


Subgroups = Mapping[str, Mapping[str, Subgroup | None]]
"""By column and level; None where it is hidden: few patients are in it, or it would give away such a one."""


@dataclass(frozen=True)
class SiteEvidence:
    """What is told, each part None where it was not asked for.

    small_cell: of fewer patients nothing is told, in any part; the study's number, or the site's own larger one.
    """

    small_cell: int
    cohort: Cohort | None = None
    subgroups: Subgroups | None = None
    recalibration: Recalibration | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that are told, for the journal."""
        found = {"cohort": self.cohort, "subgroups": self.subgroups, "recalibration": self.recalibration}
        return tuple(name for name, part in found.items() if part is not None)

    def shown(self) -> Iterator[Subgroup]:
        """Yield every subgroup that is not hidden."""
        for levels in (self.subgroups or {}).values():
            yield from (each for each in levels.values() if each is not None)

    def is_asked_by(self, evaluation: EvaluationSection) -> bool:
        """Whether a study asks for every part that is told, and for cells no smaller than these."""
        wanted = {
            "cohort": evaluation.cohort,
            "subgroups": bool(evaluation.subgroups),
            "recalibration": evaluation.recalibration,
        }
        columns = set(self.subgroups or {}) <= set(evaluation.subgroups)
        return all(wanted[part] for part in self.parts) and columns and self.small_cell >= evaluation.small_cell

    def counts(self) -> Iterator[int]:
        """Yield every number of rows or patients that is told of a part of the site's patients."""
        if self.cohort is not None:
            tables = [self.cohort.labels or {}, *(self.cohort.categories or {}).values()]
            yield from (count for table in tables for count in table.values() if count is not None)
            for each in (self.cohort.numbers or {}).values():
                yield from (count for count in (each.n, each.missing) if count is not None)
        yield from (each.scores.patients for each in self.shown())
