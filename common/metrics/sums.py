"""The measure of tasks whose metrics are functions of sums over rows: losses, counts of hits, squared errors.

A row's scores are its contributions, such as (tokens, correct tokens); a metric is a function of their sums. Within a
site intervals are a bootstrap over patients. Over sites they follow from sums alone: what a site releases is the sum
over its rows and the sum over its patients of the outer product of each patient's own sum, and a metric's variance is
g' V g, with g its gradient and V the variance of a sum of independent patients within sites (the delta method; van der
Vaart 1998, Asymptotic Statistics, chapter 3).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final  # JSON

import numpy as np

from common.errors import SchemaError
from common.metrics.bootstrap import with_interval
from common.metrics.measure import Labels, MetricInfo, Summary
from common.metrics.pooled import row_weighted_mean
from common.metrics.types import Floats, Metric, Scores, Statistic

OfSums = Callable[[Floats], Floats]

ROW_LOSS: Final = MetricInfo(
    "loss", "Loss", "Mean over rows of the mean loss of a row's parts.", higher_is_better=False, high=math.inf
)
"""Of tasks whose rows have parts, such as words."""

_NORMAL_95: Final = 1.959963984540054
_STEP: Final = 1e-6
_LARGEST: Final = 1e300
_SLACK: Final = 1e-6
"""Of sums that another machine rounded."""
_NO_FIT: Final = "the sites' sums do not fit together"
_NOT_FINITE: Final = "the model's outputs are not finite"


@dataclass(frozen=True)
class SumMetric:
    """A metric as a function of sums (..., k) to (...), NaN where it is undefined.

    row_mean: it is a mean over rows, so that sites' own values and numbers of rows give it without any summary.
    """

    info: MetricInfo
    of: OfSums
    undefined: str = "nothing to measure it on"
    row_mean: bool = False


@dataclass(frozen=True)
class RowSums:
    """n rows of so many patients. sums: (k,). products: (k, k), over patients of the outer product of their sums."""

    n: int
    patients: int
    sums: Floats
    products: Floats

    def to_json(self) -> dict[str, object]:
        """Return a value for the wire."""
        return {
            "n": self.n,
            "patients": self.patients,
            "sums": self.sums.tolist(),
            "products": self.products.tolist(),
        }

    @property
    def variance(self) -> Floats:
        """Variance (k, k) of the sums, patients being independent; zero for a single patient, who tells of none."""
        if self.patients < 2:
            return np.zeros_like(self.products)
        spread = self.products - np.outer(self.sums, self.sums) / self.patients
        return spread * self.patients / (self.patients - 1)


@dataclass(frozen=True)
class SumMeasure:
    """k contributions of each row, by name, and the metrics made of their sums; the first metric leads.

    The first column is 1 for each row. signed: the columns that may be negative.
    """

    columns: tuple[str, ...]
    metrics: tuple[SumMetric, ...]
    choosing: tuple[str, ...]
    tuning: str
    signed: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """k."""
        return len(self.columns)

    @property
    def infos(self) -> tuple[MetricInfo, ...]:
        """Every metric, in the order of tables."""
        return tuple(metric.info for metric in self.metrics)

    def evaluate(
        self,
        scores: Floats,
        labels: Labels,  # noqa: ARG002 # the seam's argument: a row's contributions hold what its label says
        patients: Sequence[str],
        *,
        resamples: int,
        rng: np.random.Generator,
    ) -> Scores:
        """Return every metric of contributions (n, k), with its interval over patients."""
        patients = list(patients)
        reason = _unusable(scores)
        if reason is not None:
            return Scores(len(patients), len(set(patients)), self._without_value(len(patients), reason))
        statistics = {metric.info.name: _statistic(metric.of, scores) for metric in self.metrics}
        found = with_interval(statistics, patients, resamples=resamples, rng=rng)
        explained = {m.info.name: _explained(m, found[m.info.name]) for m in self.metrics}
        return Scores(len(patients), len(set(patients)), explained)

    def difference(
        self,
        first: Floats,
        second: Floats,
        labels: Labels,  # noqa: ARG002 # see `evaluate`
        patients: Sequence[str],
        *,
        resamples: int,
        rng: np.random.Generator,
        metric: str | None = None,
    ) -> Metric:
        """Return a metric, by default the leading one, of `first` minus that of `second`, on the same resamples."""
        reason = _unusable(first) or _unusable(second)
        if reason is not None:
            return Metric(None, len(patients), reason=reason)
        chosen = next((each for each in self.metrics if each.info.name == metric), self.metrics[0])
        ours, theirs = _statistic(chosen.of, first), _statistic(chosen.of, second)

        def difference(weights: Floats) -> Floats:
            return ours(weights) - theirs(weights)

        found = with_interval({"difference": difference}, list(patients), resamples=resamples, rng=rng)
        return _explained(chosen, found["difference"])

    def summary(self, scores: Floats, labels: Labels, patients: Sequence[str]) -> RowSums | None:  # noqa: ARG002 # see `evaluate`
        """Return the sums over rows and patients."""
        if _unusable(scores) is not None:
            return None
        names, index = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
        of_patients = np.zeros((len(names), self.width))
        np.add.at(of_patients, index, scores)
        return RowSums(len(scores), len(names), of_patients.sum(axis=0), of_patients.T @ of_patients)

    def read_summary(self, content: object) -> RowSums:
        """Read what `RowSums.to_json` wrote. Raises SchemaError, also where no rows have such sums and products."""
        if not isinstance(content, Mapping) or set(content) != {"n", "patients", "sums", "products"}:
            raise SchemaError("sums of rows have other keys than n, patients, sums and products")
        n, patients = content["n"], content["patients"]
        if not all(type(count) is int for count in (n, patients)) or not 0 < patients <= n:
            raise SchemaError("sums of rows are not of at least one row, and of at most as many patients")
        k = self.width
        found = RowSums(n, patients, _array(content["sums"], (k,)), _array(content["products"], (k, k)))
        self._check_possible(found)
        return found

    def _check_possible(self, found: RowSums) -> None:
        """Pooled metrics are made of these, so that a site could make them better than any model is."""
        unsigned = np.array([column not in self.signed for column in self.columns])
        if abs(found.sums[0] - found.n) > _SLACK or (found.sums[unsigned] < 0).any():
            raise SchemaError("sums of rows are not of as many rows as they say, or have a negative count or loss")
        if not _is_spread(found):
            raise SchemaError("products of sums are none that so many patients with these sums can have")
        for metric in self.metrics:
            if not _is_within(metric.info, float(metric.of(found.sums))):
                raise SchemaError(f"sums of rows give a {metric.info.name} that is beyond its bounds")

    def pool(
        self,
        sites: Mapping[str, tuple[Scores, Summary | None]],
        *,
        resamples: int,
        rng: np.random.Generator,  # noqa: ARG002 # the seam's argument: this interval draws nothing
        one_model: bool = True,  # noqa: ARG002 # a sum of contributions is one whoever's model made them
    ) -> dict[str, Metric]:
        """Return every metric of the summed sums, with its interval by the delta method where `resamples` asks for it.

        Without every site's sums only means over rows have a value.
        """
        held = {site: sites[site] for site in sorted(sites) if sites[site][0].n}
        if not held:
            return self._without_value(0, "no rows")
        sums = [summary for _, summary in held.values() if isinstance(summary, RowSums)]
        scores = {site: found for site, (found, _) in held.items()}
        if len(sums) < len(held):
            return self._from_scores(scores)
        return {m.info.name: pooled_metric(m, sums, interval=resamples > 0) for m in self.metrics}

    def _from_scores(self, scores: Mapping[str, Scores]) -> dict[str, Metric]:
        rows = sum(found.n for found in scores.values())
        missing = Metric(None, rows, reason="no sums of rows")
        return {m.info.name: row_weighted_mean(scores, m.info.name) if m.row_mean else missing for m in self.metrics}

    def _without_value(self, rows: int, reason: str) -> dict[str, Metric]:
        return {metric.info.name: Metric(None, rows, reason=reason) for metric in self.metrics}


def pooled_metric(metric: SumMetric, sites: Sequence[RowSums], *, interval: bool) -> Metric:
    """Return one metric of the sums of all sites (at least one), with its 95 % interval by the delta method."""
    total, rows = np.sum([site.sums for site in sites], axis=0), sum(site.n for site in sites)
    value = float(metric.of(total))
    if not np.isfinite(value):
        return Metric(None, rows, reason=metric.undefined)
    if not _is_within(metric.info, value):
        return Metric(None, rows, reason=_NO_FIT)
    value = min(max(value, metric.info.low), metric.info.high)
    if not interval:
        return Metric(value, rows)
    if any(site.patients < 2 for site in sites):
        return Metric(value, rows, reason="a site has one patient only: no interval")
    slope = gradient(metric.of, total)
    variance = float(slope @ np.sum([site.variance for site in sites], axis=0) @ slope)
    if not np.isfinite(variance):
        return Metric(value, rows, reason="undefined next to these sums: no interval")
    half = _NORMAL_95 * math.sqrt(max(variance, 0.0))
    return Metric(value, rows, max(value - half, metric.info.low), min(value + half, metric.info.high))


def gradient(of: OfSums, sums: Floats) -> Floats:
    """Return the gradient (k,) of a metric at sums (k,), by central differences.

    >>> gradient(lambda s: s[..., 0] / s[..., 1], np.array([3.0, 4.0])).round(6).tolist()
    [0.25, -0.1875]
    """
    steps = _STEP * np.maximum(np.abs(sums), 1.0)
    around = np.diag(steps)
    return (of(sums + around) - of(sums - around)) / (2 * steps)


def ratio(numerator: int, denominator: int) -> OfSums:
    """Return the metric sums[numerator] / sums[denominator], NaN where the denominator is 0.

    >>> float(ratio(1, 0)(np.array([4.0, 3.0])))
    0.75
    """

    def of(sums: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(sums[..., denominator] > 0, sums[..., numerator] / sums[..., denominator], np.nan)

    return of


def _is_within(info: MetricInfo, value: float) -> bool:
    """Whether a value, rounded, is within the metric's bounds; one that is undefined is."""
    return math.isnan(value) or info.low - _SLACK <= value <= info.high + _SLACK


def _is_spread(found: RowSums) -> bool:
    """Whether products - sums sums' / patients is a covariance, as it is of any patients: no direction is negative."""
    scale = np.sqrt(np.maximum(np.diag(found.products), 0.0))
    scale[scale == 0] = 1.0
    with np.errstate(over="ignore"):  # what grows beyond all numbers is refused next
        products = found.products / scale[:, None] / scale
        sums = found.sums / scale / math.sqrt(found.patients)
    if not (np.abs(sums) <= 1 + _SLACK).all() or not (np.abs(products) <= 1 + _SLACK).all():
        return False
    spread = products - np.outer(sums, sums)
    return bool(np.allclose(spread, spread.T, rtol=0, atol=_SLACK)) and np.linalg.eigvalsh(spread)[0] >= -_SLACK


def _statistic(of: OfSums, scores: Floats) -> Statistic:
    return lambda weights: of(np.asarray(weights) @ scores)


def _unusable(scores: Floats) -> str | None:
    if not len(scores):
        return "no rows"
    return None if np.isfinite(scores).all() else _NOT_FINITE


def _explained(metric: SumMetric, found: Metric) -> Metric:
    return found if found.value is not None else Metric(None, found.n, reason=metric.undefined)


def _array(content: Any, shape: tuple[int, ...]) -> Floats:
    """Numbers of another machine: of this shape, finite, and small enough to be added."""
    try:
        found = np.array(content, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise SchemaError("sums of rows are not numbers") from None
    if found.shape != shape or not (np.abs(found) <= _LARGEST).all():
        raise SchemaError(f"sums of rows have shape {found.shape}, expected {shape}, or are too large")
    return found
