"""Whether a site uses a new global adapter: it may not lose more than a bound on the site's own validation rows.

The candidate and the version in use are scored on the same rows, of which neither was trained on any. Compared is the
task's leading metric, its loss with a paired interval over patients (`common.metrics`). The rule is on the estimate
alone: with the few rows of one site, an interval that had to stay above the bound would turn nearly everything away;
the interval is said, for whoever decides otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final  # JSON values

import numpy as np

from client.data import Rows
from common.labels import rarest
from common.metrics.measure import Labels, Measure, MetricInfo, gain
from common.metrics.types import Floats, Metric
from common.seeds import generator
from common.study import Study
from common.study_task import task_of
from common.tasks import Task

FEWEST: Final = 5
"""Patients of the rarest label; with fewer the order of two or three decides a metric such as AUROC."""
_ROUNDING: Final = 1e-12
"""A loss of exactly the bound is allowed, however its digits were rounded."""


@dataclass(frozen=True)
class Compared:
    """One metric of the candidate and of the version in use. `gain` is how much better the candidate is: above 0."""

    metric: MetricInfo
    candidate: Metric
    current: Metric
    gain: Metric


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate is used, why, and what it was compared by (None: with nothing)."""

    is_accepted: bool
    why: str
    max_loss: float
    rows: int
    patients: int
    compared: Compared | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the verdict for a machine."""
        found = self.compared
        compared = None if found is None else {
            "metric": found.metric.name,
            **{name: getattr(found, name).to_json() for name in ("candidate", "current", "gain")},
        }  # fmt: skip
        return {
            "accepted": self.is_accepted,
            "why": self.why,
            "max_loss": self.max_loss,
            "rows": self.rows,
            "patients": self.patients,
            "compared": compared,
        }


@dataclass(frozen=True)
class HeldOut:
    """What is known of the rows that both are scored on: labels (n, ...), and the patient of each.

    rarest: how many patients have the rarest label; None where the task tells no labels apart.
    """

    labels: Labels
    patients: Sequence[str]
    rarest: int | None = None

    @classmethod
    def of(cls, task: Task, labels: Labels, patients: Sequence[str]) -> HeldOut:
        """Count the patients of the rarest label too."""
        return cls(labels, patients, rarest(task, labels, patients) if task.groups(labels) else None)


def judge(
    measure: Measure,
    candidate: Floats,
    current: Floats | None,
    rows: HeldOut,
    *,
    max_loss: float,
    resamples: int,
    rng: np.random.Generator,
) -> Verdict:
    """Decide from the scores (n, width) of both; None stands for no version in use.

    Where the leading metric is not defined on these rows, such as AUROC with one class only, or rests on fewer than
    FEWEST patients of a label, the task's loss is compared instead, with the same bound.
    Rows that say nothing at all change nothing: the version in use stays.
    """
    judged = Verdict(True, "", max_loss, len(rows.patients), len(set(rows.patients)))
    if not np.isfinite(candidate).all():
        return _with(judged, accepted=False, why="its scores are not finite numbers")
    if current is None:
        return _with(judged, accepted=True, why="no version was in use, so there is nothing to compare with")
    if not np.isfinite(current).all():
        return _with(judged, accepted=True, why="the scores of the version in use are not finite numbers")
    if not judged.rows:
        return _with(judged, accepted=False, why="there are no validation rows to compare on")
    leading, whys = measure.infos[0], list[str]()
    names = [leading.name, measure.tuning]
    if rows.rarest is not None and 0 < rows.rarest < FEWEST:
        whys.append(f"{leading.label} says little, with {rows.rarest} patients of the rarest label (at least {FEWEST})")
        names = names[1:]
    for name in names:
        found = _compare(measure, name, candidate, current, rows, resamples=resamples, rng=rng)
        if found.gain.value is not None:
            return _decided(judged, found, found.gain.value, instead_of="; ".join(whys))
        whys.append(f"{found.metric.label} is not defined here ({found.gain.reason})")
    return _with(judged, accepted=False, why="; ".join(whys))


def judge_site(
    study: Study, site: str, rows: Rows, candidate: Floats, current: Floats | None, *, max_loss: float
) -> Verdict:
    """Judge by the scores of a site's `rows`, which both held out: see `client.held_out`."""
    task = task_of(study.task)
    return judge(
        task.measure,
        candidate,
        current,
        HeldOut.of(task, rows.labels, rows.patients),
        max_loss=max_loss,
        resamples=study.evaluation.resamples,
        rng=generator(study.seed, site=site, purpose="acceptance"),
    )


def _with(judged: Verdict, *, accepted: bool, why: str, compared: Compared | None = None) -> Verdict:
    return Verdict(accepted, why, judged.max_loss, judged.rows, judged.patients, compared)


def _compare(
    measure: Measure,
    name: str,
    candidate: Floats,
    current: Floats,
    rows: HeldOut,
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Compared:
    info = next(each for each in measure.infos if each.name == name)
    ours, theirs = (
        measure.evaluate(scores, rows.labels, rows.patients, resamples=resamples, rng=rng).metrics[name]
        for scores in (candidate, current)
    )
    found = gain(measure, candidate, current, rows.labels, rows.patients, resamples=resamples, rng=rng, metric=name)
    return Compared(info, ours, theirs, found)


def _decided(judged: Verdict, found: Compared, change: float, *, instead_of: str) -> Verdict:
    is_accepted = change >= -judged.max_loss - _ROUNDING
    word = "better" if change > 0 else "worse"
    moved = "is the same" if change == 0 else f"is {abs(change):.3f} {word}"
    interval = found.gain.reason or "no interval"
    if found.gain.low is not None and found.gain.high is not None:
        interval = f"95 % interval of the change for the better {found.gain.low:+.3f} to {found.gain.high:+.3f}"
    bound = f"up to {judged.max_loss:g} may be lost" if is_accepted else f"more than {judged.max_loss:g} is lost"
    why = f"{found.metric.label} {moved} ({interval}); {bound}"
    return _with(judged, accepted=is_accepted, why=f"{instead_of}; {why}" if instead_of else why, compared=found)
