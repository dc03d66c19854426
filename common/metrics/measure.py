"""What a task's outputs are measured by: metrics at one site, over sites, and what a site may release for it.

A measure knows no model and needs no torch, so that the server and a site read the same numbers from the same rows.
`common.metrics.classes` is the one of classifiers, `common.metrics.sums` that of everything that adds over rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol  # the labels of a task have the task's own dtype

import numpy as np
from numpy.typing import NDArray

from common.metrics.types import Floats, Metric, Scores

Labels = NDArray[Any]
"""(n, ...) what the task's rows are labelled with, as its `stack` makes them."""


@dataclass(frozen=True)
class MetricInfo:
    """One metric: its key in results, its name for people, what it says, which way is better, and its bounds."""

    name: str
    label: str
    meaning: str
    higher_is_better: bool = True
    low: float = 0.0
    high: float = 1.0


class Summary(Protocol):
    """What a site may release of its rows' outputs so that metrics over all sites can be had; summaries add."""

    @property
    def n(self) -> int:
        """Number of rows."""
        ...

    def to_json(self) -> dict[str, object]:
        """Return a value for the wire."""
        ...


class Measure(Protocol):
    """How scores (n, width), one row of numbers for each row of the data, become metrics."""

    @property
    def width(self) -> int:
        """Numbers for each row."""
        ...

    @property
    def infos(self) -> tuple[MetricInfo, ...]:
        """Every metric, in the order of tables; the first leads a report, and joining is judged by it."""
        ...

    @property
    def choosing(self) -> tuple[str, ...]:
        """Names of metrics by which the best round is chosen, the preferred one first."""
        ...

    @property
    def tuning(self) -> str:
        """Name of the metric, lower is better, by which a learning rate is chosen: a mean over rows."""
        ...

    def evaluate(
        self, scores: Floats, labels: Labels, patients: Sequence[str], *, resamples: int, rng: np.random.Generator
    ) -> Scores:
        """Return every metric with its 95 % interval by a bootstrap over patients; resamples: 0 gives none."""
        ...

    def difference(
        self,
        first: Floats,
        second: Floats,
        labels: Labels,
        patients: Sequence[str],
        *,
        resamples: int,
        rng: np.random.Generator,
        metric: str | None = None,
    ) -> Metric:
        """Return a metric, by default the leading one, of `first` minus that of `second` on the same rows.

        With its paired interval: both are computed on the same resampled patients.
        """
        ...

    def summary(self, scores: Floats, labels: Labels, patients: Sequence[str]) -> Summary | None:
        """Return what a site may release; None where there is no row, or a diverged model's scores are not finite."""
        ...

    def read_summary(self, content: object) -> Summary:
        """Read what a summary's `to_json` wrote on another machine. Raises SchemaError."""
        ...

    def pool(
        self,
        sites: Mapping[str, tuple[Scores, Summary | None]],
        *,
        resamples: int,
        rng: np.random.Generator,
        one_model: bool = True,
    ) -> dict[str, Metric]:
        """Return every metric over the rows of all sites; one that the releases do not give says why.

        one_model: whether one model scored all sites.
        """
        ...


def gain(
    measure: Measure,
    ours: Floats,
    theirs: Floats,
    labels: Labels,
    patients: Sequence[str],
    *,
    resamples: int,
    rng: np.random.Generator,
    metric: str | None = None,
) -> Metric:
    """Return by how much `ours` is better than `theirs` in a metric, by default the leading one; paired.

    That is its difference, or, where lower is better, that of `theirs` minus `ours`.
    """
    info = next(each for each in measure.infos if metric in (None, each.name))
    first, second = (ours, theirs) if info.higher_is_better else (theirs, ours)
    return measure.difference(first, second, labels, patients, resamples=resamples, rng=rng, metric=metric)


def names_of(measure: Measure) -> tuple[str, ...]:
    """Return the names of a measure's metrics, in the order of tables."""
    return tuple(info.name for info in measure.infos)
