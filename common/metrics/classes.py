"""The measure of classifiers: scores are probabilities, summaries are score histograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Final

import numpy as np

from common.metrics.evaluation import evaluate, paired_difference
from common.metrics.histogram import score_histogram
from common.metrics.measure import Labels, MetricInfo, Summary
from common.metrics.pooled import pool
from common.metrics.types import Floats, Metric, ScoreHistogram, Scores, curves_of

INFOS: Final = (
    MetricInfo(
        "auroc",
        "AUROC",
        "AUROC is the probability that a random positive row scores higher than a random negative one: 0.5 is chance, "
        "1 is perfect. With more than two labels it is the mean of one label against the rest.",
    ),
    MetricInfo("auprc", "AUPRC", "Average precision: the area under precision against recall."),
    MetricInfo("accuracy", "Accuracy", "Share of rows whose most probable label is theirs."),
    MetricInfo("balanced_accuracy", "Balanced accuracy", "Mean recall over labels."),
    MetricInfo("f1", "F1", "Harmonic mean of precision and recall, over labels alike."),
    MetricInfo("brier", "Brier score", "Mean squared error of the probabilities.", higher_is_better=False),
    MetricInfo("log_loss", "Log loss", "Mean negative logarithm of the true label's probability.", False, high=inf),
    MetricInfo("calibration_error", "Calibration error", "Mean gap between probability and frequency.", False),
)


@dataclass(frozen=True)
class ClassMeasure:
    """Probabilities (n, classes) against class indices (n,); with two classes, class 1 is the positive one."""

    classes: int
    infos: ClassVar[tuple[MetricInfo, ...]] = INFOS
    choosing: ClassVar[tuple[str, ...]] = ("auroc", "log_loss")
    tuning: ClassVar[str] = "log_loss"

    @property
    def width(self) -> int:
        """One probability for each class."""
        return self.classes

    def evaluate(
        self, scores: Floats, labels: Labels, patients: Sequence[str], *, resamples: int, rng: np.random.Generator
    ) -> Scores:
        """See `common.metrics.evaluation.evaluate`."""
        return evaluate(scores, labels, patients, resamples=resamples, rng=rng)

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
        """Return the difference of a metric, AUROC by default; see `common.metrics.evaluation.paired_difference`."""
        chosen = metric or INFOS[0].name
        return paired_difference(first, second, labels, patients, metric=chosen, resamples=resamples, rng=rng)

    def summary(self, scores: Floats, labels: Labels, patients: Sequence[str]) -> ScoreHistogram | None:  # noqa: ARG002 # the seam's argument
        """Return the score histogram."""
        if not len(labels) or not np.isfinite(scores).all():
            return None
        return score_histogram(scores, labels, classes=self.classes)

    def read_summary(self, content: object) -> ScoreHistogram:
        """Read a score histogram. Raises SchemaError."""
        return ScoreHistogram.from_json(content, curves=curves_of(self.classes))

    def pool(
        self,
        sites: Mapping[str, tuple[Scores, Summary | None]],
        *,
        resamples: int,
        rng: np.random.Generator,
        one_model: bool = True,
    ) -> dict[str, Metric]:
        """See `common.metrics.pooled.pool`."""
        held = {site: (scores, _histogram(summary)) for site, (scores, summary) in sites.items()}
        return pool(held, resamples=resamples, rng=rng, one_model=one_model)


def _histogram(summary: Summary | None) -> ScoreHistogram | None:
    assert summary is None or isinstance(summary, ScoreHistogram)  # read by `read_summary` above
    return summary
