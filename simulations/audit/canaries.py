"""Canaries: made-up rows among one site's training rows, and references drawn in the same way that nobody trains on.

Carlini et al. 2019, "The Secret Sharer", https://arxiv.org/abs/1802.08232, section 4. Everything of them follows from
the study, its seed and its rows. Numbers and categories are drawn from what the columns hold, each column apart; free
text is words of the rows in no order, and six digits. Classes go round in turn, so that nothing but the row itself
tells a row's, and canaries and references have them in the same shares: a model that merely prefers one class would
else tell a handful of canaries from their references.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count as counting
from typing import Final

import numpy as np

from client.data import Rows
from client.data.table import with_default_column
from client.split import patient_fraction
from common.data_schema import DataSection, TextColumn
from common.errors import DataError, StudyError
from common.metrics.measure import Labels
from common.rendering import Value, render
from common.seeds import generator
from common.study import Study
from common.study_audit import CanariesSection
from common.study_task import task_of
from common.tasks import LooksAtInput
from simulations.catalogue import simulation_of

PREFIX: Final = "fedpeft-canary-"
WORDS, DIGITS, SHORTEST = 6, 6, 3


@dataclass(frozen=True)
class Canaries:
    """planted: each canary once, with the patient that it is of. references: drawn likewise, and never planted."""

    section: CanariesSection
    planted: Rows
    references: Rows


def is_canary(patient: str) -> bool:
    """Whether a patient is made up for canaries."""
    return patient.startswith(PREFIX)


def canaries_of(study: Study, sites: Mapping[str, Rows]) -> Canaries | None:
    """Return what the study plants among these rows; None where it plants nothing. Raises UserError."""
    section = simulation_of(study).canaries
    if section is None:
        return None
    _check(study, section, sites)
    source = _Source.of(study, sites, section.site)
    drawn = source.rows(section.count + section.references)
    planted = drawn.take(np.arange(section.count))
    return Canaries(
        section,
        replace(planted, patients=_patients(study, section)),
        drawn.take(np.arange(section.count, len(drawn))),
    )


def planted(sites: Mapping[str, Rows], canaries: Canaries | None) -> dict[str, Rows]:
    """Return the rows of all sites, the canaries after those of the site that has them, each as often as it repeats."""
    if canaries is None:
        return dict(sites)
    site, rows = canaries.section.site, canaries.planted
    repeated = rows.take(np.repeat(np.arange(len(rows)), canaries.section.repeats))
    return {**sites, site: _joined(sites[site], repeated)}


def _check(study: Study, section: CanariesSection, sites: Mapping[str, Rows]) -> None:
    if section.site not in sites:
        raise StudyError(f"simulation.canaries.site: {section.site!r} is none of the sites: {', '.join(sorted(sites))}")
    if study.data.kind != "table":
        raise StudyError(
            f"simulation.canaries makes up rows of a table's columns, and data.kind is {study.data.kind!r}; "
            "leave the canaries out"
        )
    if any(is_canary(patient) for rows in sites.values() for patient in rows.patients):
        raise DataError(f"a patient id begins with {PREFIX!r}, which is kept for canaries; give the patient another")


def _patients(study: Study, section: CanariesSection) -> list[str]:
    """Return the patient of each canary, of names that the split puts among those that train."""
    names = [str(number) for number in range(section.count)] if section.patients == "own" else ["all"] * section.count
    return [_training_patient(study, f"{PREFIX}{section.site}-{name}") for name in names]


def _training_patient(study: Study, name: str) -> str:
    """Return the first of `name-0`, `name-1`, ... whose hash is beyond the test and the validation part."""
    held_out = study.evaluation.test_fraction + study.evaluation.validation_fraction
    tried = (f"{name}-{number}" for number in counting())
    return next(p for p in tried if patient_fraction(p, split_seed=study.evaluation.split_seed) >= held_out)


@dataclass(frozen=True)
class _Source:
    """What canaries are drawn from: columns of all sites' rows, their words and labels."""

    study: Study
    section: DataSection
    everyone: Sequence[Rows]
    words: Sequence[str]
    labels: Labels
    site: str

    @classmethod
    def of(cls, study: Study, sites: Mapping[str, Rows], site: str) -> "_Source":
        everyone = [sites[name] for name in sorted(sites)]
        labels = np.concatenate([rows.labels for rows in everyone])
        texts = [text for rows in everyone for text in rows.inputs]
        if labels.dtype == object and isinstance(labels[0], str):  # completions
            texts += labels.tolist()
        return cls(study, with_default_column(study.data), everyone, _words_in(texts), labels, site)

    def rows(self, count: int) -> Rows:
        rng = generator(self.study.seed, site=self.site, purpose="canaries")
        columns = {name: self._column(name, count, rng) for name in self.section.columns}
        values = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        inputs = [render(self.section, row) for row in values]
        some = self.everyone[0]
        return Rows(
            inputs=inputs,
            labels=self._labels(inputs, rng),
            patients=[f"fedpeft-reference-{number}" for number in range(count)],
            features={name: columns[name] for name in some.features},
            columns={name: [self._cell(name)] * count for name in some.columns},
        )

    def _column(self, name: str, count: int, rng: np.random.Generator) -> list[Value]:
        if isinstance(self.section.columns[name], TextColumn):
            return [self._text(rng) for _ in range(count)]
        known = [value for rows in self.everyone for value in rows.features[name]]
        return [known[place] for place in rng.integers(len(known), size=count)]

    def _text(self, rng: np.random.Generator) -> str:
        chosen = [self.words[place] for place in rng.integers(len(self.words), size=WORDS)]
        return " ".join([*chosen, "".join(str(digit) for digit in rng.integers(10, size=DIGITS))])

    def _cell(self, column: str) -> str:
        return self.site if column == simulation_of(self.study).site_column else ""

    def _labels(self, inputs: Sequence[str], rng: np.random.Generator) -> Labels:
        task, classes = task_of(self.study.task), len(self.study.task.labels)
        if isinstance(task, LooksAtInput):  # a tag for each word
            return task.stack([tuple(rng.integers(classes, size=len(text.split())).tolist()) for text in inputs])
        if self.labels.dtype == object:
            return task.stack([self._text(rng) for _ in inputs])
        if classes and self.labels.ndim == 1:
            return task.stack(((np.arange(len(inputs)) + rng.integers(classes)) % classes).tolist())
        drawn: Labels = self.labels[rng.integers(len(self.labels), size=len(inputs))]
        return drawn


def _words_in(texts: Sequence[str]) -> list[str]:
    found = {word.strip(".,;:()!?") for text in texts for word in text.split()}
    return sorted(word for word in found if word.isalpha() and len(word) >= SHORTEST) or ["canary"]


def _joined(rows: Rows, more: Rows) -> Rows:
    return Rows(
        inputs=[*rows.inputs, *more.inputs],
        labels=np.concatenate([rows.labels, more.labels]),
        patients=[*rows.patients, *more.patients],
        features={name: [*values, *more.features[name]] for name, values in rows.features.items()},
        columns={name: [*values, *more.columns[name]] for name, values in rows.columns.items()},
    )
