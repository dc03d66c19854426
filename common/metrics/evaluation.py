"""All metrics of one model on the rows of one split, with intervals; and the paired difference of two models."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.metrics.bootstrap import with_interval
from common.metrics.calibration import calibration_error
from common.metrics.classification import accuracy, balanced_accuracy, f1
from common.metrics.ranking import auprc, auroc
from common.metrics.scoring_rules import brier, log_loss
from common.metrics.types import Floats, Metric, Probabilities, Scores, Statistic

_Prepare = Callable[[Probabilities, NDArray[np.int64]], Statistic]

_PREPARE: Final[Mapping[str, _Prepare]] = {
    "auroc": auroc,
    "auprc": auprc,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "brier": brier,
    "log_loss": log_loss,
    "calibration_error": calibration_error,
}

METRICS: Final = tuple(_PREPARE)
"""Names of all metrics, in the order of tables."""


def evaluate(
    probabilities: Probabilities,
    labels: NDArray[np.int64],
    patients: Sequence[str],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Scores:
    """Return every metric of METRICS with its 95 % interval by a bootstrap over patients.

    probabilities: (n, classes), two classes or more; with two, class 1 is the positive one. labels: (n,) class
    indices. patients: (n,) ids. resamples: 0 gives no intervals. A metric that is not defined has no value and says
    why: no rows, probabilities that are not finite (a diverged model), one class only, no positive row.
    """
    patients = list(patients)
    reason = _unusable(probabilities)
    if reason is not None:
        metrics = {name: Metric(None, len(labels), reason=reason) for name in METRICS}
    else:
        statistics = {name: prepare(probabilities, labels) for name, prepare in _PREPARE.items()}
        found = with_interval(statistics, patients, resamples=resamples, rng=rng)
        metrics = {name: _explained(name, metric) for name, metric in found.items()}
    return Scores(len(labels), len(set(patients)), metrics)


def paired_difference(
    probabilities_a: Probabilities,
    probabilities_b: Probabilities,
    labels: NDArray[np.int64],
    patients: Sequence[str],
    *,
    metric: str = "auroc",
    resamples: int,
    rng: np.random.Generator,
) -> Metric:
    """Return metric(a) - metric(b) on the same rows, with its 95 % interval over the same resampled patients.

    Arguments are those of `evaluate`. The pairing removes what both models share, so this interval is narrower than
    what two separate intervals suggest.
    """
    reason = _unusable(probabilities_a) or _unusable(probabilities_b)
    if reason is not None:
        return Metric(None, len(labels), reason=reason)
    first = _PREPARE[metric](probabilities_a, labels)
    second = _PREPARE[metric](probabilities_b, labels)

    def difference(weights: Floats) -> Floats:
        return first(weights) - second(weights)

    found = with_interval({metric: difference}, list(patients), resamples=resamples, rng=rng)
    return _explained(metric, found[metric])


def undefined_reason(name: str) -> str:
    """Return why the metric of this name is undefined for rows that exist."""
    return "no row is positive or predicted so" if name == "f1" else "one class only"


def _unusable(probabilities: Probabilities) -> str | None:
    if not len(probabilities):
        return "no rows"
    return None if np.isfinite(probabilities).all() else "probabilities are not finite"


def _explained(name: str, metric: Metric) -> Metric:
    return metric if metric.value is not None else Metric(None, metric.n, reason=undefined_reason(name))
