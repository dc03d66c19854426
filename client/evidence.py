"""What a site says once, at the end, of its patients and of parts of them; `client.gate` lets it out or not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any  # a column holds numbers or words

import numpy as np
from numpy.typing import NDArray

from client.policy import Policy
from client.site_rows import SiteRows, SplitRows
from common.cohort_statistics import Cell, Cohort, cell_of, hidden, release
from common.labels import rarest
from common.metrics.classes import ClassMeasure
from common.metrics.recalibration import Recalibration, recalibrate
from common.metrics.types import Floats
from common.seeds import generator
from common.site_evidence import SiteEvidence, Subgroup, Subgroups
from common.study import Study
from common.subgroups import subgroup_levels
from common.tasks import Task

FEW_FOR_CALIBRATION = "fewer patients than the site tells of"
NO_CLASSES = "the task has no classes"


@dataclass(frozen=True)
class Reporter:
    """How one site says it: the study asks, the policy sets how few patients are too few, `seed` is the run's."""

    site: str
    study: Study
    task: Task
    policy: Policy
    seed: int

    @property
    def least(self) -> int:
        """Fewer patients than this are not told of."""
        return max(self.study.evaluation.small_cell, self.policy.small_cell)

    def evidence(self, rows: SiteRows, *, validation: Floats | None, test: Floats) -> SiteEvidence:
        """Return what the study asks for, from scores (n, width); of validation rows where calibration is asked for."""
        asked = self.study.evaluation
        return SiteEvidence(
            self.least,
            self.cohort(rows) if asked.cohort else None,
            self.subgroups(rows.test, test) if asked.subgroups else None,
            None if validation is None else self.recalibration(rows, validation=validation, test=test),
        )

    def cohort(self, rows: SiteRows) -> Cohort:
        """Return the counts and sums of all rows of the site."""
        parts = (rows.train, rows.validation, rows.test)
        labels = np.concatenate([part.labels for part in parts if len(part)])
        return release(
            [patient for part in parts for patient in part.patients],
            joined_features([part.features for part in parts]),
            self.study.data.columns,
            self.task.groups(labels),
            least=self.least,
        )

    def subgroups(self, part: SplitRows, scores: Floats) -> Subgroups:
        """Return the metrics of each subgroup of rows, None where one is hidden."""
        found = {}
        for column, (levels, names) in subgroup_levels(
            self.study, part.features, part.patients, least=self.least
        ).items():
            masks = {name: np.array([each == name for each in levels], dtype=bool) for name in names}
            cells = {name: self._cell(part, mask) for name, mask in masks.items()}
            gone = hidden(cells, least=self.least, may_be_told=self._together(part, masks))
            found[column] = {
                name: None if name in gone else self._subgroup(part, scores, mask, f"{column}={name}")
                for name, mask in masks.items()
                if name in gone or mask.any()
            }
        return found

    def _cell(self, part: SplitRows, mask: NDArray[np.bool_]) -> Cell:
        """A subgroup with too few patients of a class is hidden as one with too few patients is."""
        patients = _chosen(part.patients, mask)
        few = bool(patients) and rarest(self.task, part.labels[mask], patients) < self.policy.minimum_class_patients
        return cell_of(mask, part.patients, few=few or 0 < len(set(patients)) < self.policy.minimum_patients)

    def _together(self, part: SplitRows, masks: Mapping[str, NDArray[np.bool_]]) -> Callable[[Iterable[str]], bool]:
        """What is told of all test rows, less what is told of subgroups, is of the hidden ones together."""

        def may_be_told(names: Iterable[str]) -> bool:
            return not self._cell(part, np.any([masks[name] for name in names], axis=0)).few

        return may_be_told

    def _subgroup(self, part: SplitRows, scores: Floats, mask: NDArray[np.bool_], name: str) -> Subgroup:
        measure, patients = self.task.measure, _chosen(part.patients, mask)
        rng = generator(self.seed, site=self.site, purpose=f"bootstrap subgroup {name}")
        evaluated = measure.evaluate(
            scores[mask], part.labels[mask], patients, resamples=self.study.evaluation.resamples, rng=rng
        )
        return Subgroup(evaluated, measure.summary(scores[mask], part.labels[mask], patients))

    def recalibration(self, rows: SiteRows, *, validation: Floats, test: Floats) -> Recalibration:
        """Return what a map fitted on the site's validation rows makes of its test rows."""
        if not isinstance(self.task.measure, ClassMeasure):
            return Recalibration(NO_CLASSES)
        if any(self._is_few(part) for part in (rows.validation, rows.test)):
            return Recalibration(FEW_FOR_CALIBRATION)
        return recalibrate(
            (validation, rows.validation.labels),
            (test, rows.test.labels),
            rows.test.patients,
            resamples=self.study.evaluation.resamples,
            rng=generator(self.seed, site=self.site, purpose="bootstrap recalibration"),
        )

    def _is_few(self, part: SplitRows) -> bool:
        """Whether a part has fewer patients, in all or of a class, than may be told of."""
        patients = len(set(part.patients))
        if patients < max(self.policy.minimum_patients, self.least, 1):
            return True
        return rarest(self.task, part.labels, part.patients) < self.policy.minimum_class_patients


def _chosen(patients: Sequence[str], mask: NDArray[np.bool_]) -> list[str]:
    return list(compress(patients, mask))


def joined_features(parts: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    """Return the columns of several parts of rows, one after the other."""
    return {name: [value for part in parts for value in part.get(name, ())] for name in parts[0]}
