"""Recalibration at one site: a map of one or two numbers, fitted on validation rows, judged on test rows.

Two classes: Platt's line on the log odds (1999, Advances in Large Margin Classifiers, with his targets, which keep it
finite). More: one temperature (Guo et al. 2017, https://arxiv.org/abs/1706.04599). The order of rows by probability
stays, so that AUROC does where the line rises. Intervals are by resampling test patients, the map held as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final  # JSON values

import numpy as np
from numpy.typing import NDArray

from common.errors import SchemaError
from common.metrics.bootstrap import with_interval
from common.metrics.calibration import calibration_error
from common.metrics.logistic_line import calibration_intercept, calibration_slope, expit, fit_line, log_odds
from common.metrics.scoring_rules import brier, log_loss
from common.metrics.types import Floats, Metric, Statistic

SCORES: Final = ("calibration_error", "brier", "log_loss")
SLOPE: Final = "calibration_slope"
INTERCEPT: Final = "calibration_intercept"
LINE: Final = (SLOPE, INTERCEPT)
LEAST_ROWS: Final = 10
"""Validation rows below which a map would be noise."""
_LOG_TEMPERATURE: Final = (-5.0, 5.0)
_SMALLEST: Final = 1e-300


@dataclass(frozen=True)
class Map:
    """From probabilities to probabilities. method: `platt` has slope and intercept, `temperature` a temperature."""

    method: str
    parameters: Mapping[str, float]

    def apply(self, probabilities: Floats) -> Floats:
        """Return the recalibrated probabilities (n, classes)."""
        if self.method == "platt":
            one = expit(self.parameters["slope"] * log_odds(probabilities[:, 1]) + self.parameters["intercept"])
            return np.stack([1 - one, one], axis=1)
        return tempered(probabilities, self.parameters["temperature"])


@dataclass(frozen=True)
class Recalibration:
    """What the map is and does on one site's test rows; all of it empty where there is none, and why.

    change: after minus before, paired: below zero is better.
    """

    reason: str | None = None
    map: Map | None = None
    rows: int = 0
    before: Mapping[str, Metric] = field(default_factory=dict)
    after: Mapping[str, Metric] = field(default_factory=dict)
    change: Mapping[str, Metric] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return `{"reason", "method", "parameters", "rows", "before", "after", "change"}`."""
        parts = {name: getattr(self, name) for name in ("before", "after", "change")}
        return {
            "reason": self.reason,
            "method": None if self.map is None else self.map.method,
            "parameters": None if self.map is None else dict(self.map.parameters),
            "rows": self.rows,
            **{part: {name: m.to_json() for name, m in found.items()} for part, found in parts.items()},
        }

    @classmethod
    def from_json(cls, content: Any) -> "Recalibration":
        """Read what `to_json` wrote. Raises SchemaError."""
        keys = {"reason", "method", "parameters", "rows", "before", "after", "change"}
        if not isinstance(content, Mapping) or set(content) != keys:
            raise SchemaError(f"recalibration is no table of {sorted(keys)}")
        if not isinstance(content["rows"], int) or not isinstance(content["reason"], str | None):
            raise SchemaError("recalibration has a reason that is no text, or rows that are no number")
        parts = {part: _metrics(content[part]) for part in ("before", "after", "change")}
        return cls(content["reason"], _read_map(content["method"], content["parameters"]), content["rows"], **parts)


_PARAMETERS: Final = {"platt": {"slope", "intercept"}, "temperature": {"temperature"}}


def _read_map(method: Any, parameters: Any) -> Map | None:
    if method is None and parameters is None:
        return None
    if not isinstance(parameters, Mapping) or set(parameters) != _PARAMETERS.get(str(method)):
        raise SchemaError(f"recalibration has no method of {sorted(_PARAMETERS)} with its parameters")
    if not all(isinstance(value, float | int) and np.isfinite(value) for value in parameters.values()):
        raise SchemaError("recalibration has a parameter that is not a finite number")
    return Map(str(method), {str(name): float(value) for name, value in parameters.items()})


def _metrics(content: Any) -> dict[str, Metric]:
    if not isinstance(content, Mapping) or not set(content) <= {*SCORES, *LINE}:
        raise SchemaError(f"recalibration has metrics other than {', '.join([*SCORES, *LINE])}")
    return {str(name): Metric.from_json(value) for name, value in content.items()}


def fit_map(probabilities: Floats, labels: NDArray[np.int64]) -> Map | str:
    """Return the map that suits validation rows (n, classes), or why there is none."""
    if len(labels) < LEAST_ROWS:
        return f"fewer than {LEAST_ROWS} validation rows"
    if not np.isfinite(probabilities).all():
        return "probabilities are not finite"
    if len(np.unique(labels)) < 2:
        return "one class only among the validation rows"
    if probabilities.shape[1] > 2:
        return Map("temperature", {"temperature": _temperature(probabilities, labels)})
    slope, intercept = fit_line(log_odds(probabilities[:, 1]), platt_targets(labels), np.ones(len(labels)))
    if not np.isfinite(slope):
        return "no line fits the validation rows"
    return Map("platt", {"slope": float(slope), "intercept": float(intercept)})


def platt_targets(labels: NDArray[np.int64]) -> Floats:
    """Return Platt's targets: not 0 and 1 but what Laplace's rule of succession makes of so many rows of each.

    >>> platt_targets(np.array([0, 1, 1])).round(3).tolist()
    [0.333, 0.75, 0.75]
    """
    positive, negative = int((labels == 1).sum()), int((labels != 1).sum())
    return np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2)).astype(np.float64)


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Return the softmax of the logarithms over a temperature; above 1 it makes a model less sure."""
    logits = np.log(np.maximum(probabilities, _SMALLEST)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _temperature(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        found = tempered(probabilities, float(np.exp(logarithm)))
        return float(-np.log(np.maximum(found[np.arange(len(labels)), labels], _SMALLEST)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_TEMPERATURE, method="bounded", options={"xatol": 1e-9}).x))


def recalibrate(
    validation: tuple[Floats, NDArray[np.int64]],
    test: tuple[Floats, NDArray[np.int64]],
    patients: Sequence[str],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Recalibration:
    """Return how a map fitted on validation rows changes the probabilities of test rows, whose patients are given.

    validation, test: probabilities (n, classes) and class indices (n,).
    """
    probabilities, labels = test
    if not len(labels) or not np.isfinite(probabilities).all():
        return Recalibration("no test rows" if not len(labels) else "probabilities are not finite")
    found = fit_map(*validation)
    if isinstance(found, str):
        return Recalibration(found)
    after = found.apply(probabilities)
    statistics = {
        **_named("before", _statistics(probabilities, labels)),
        **_named("after", _statistics(after, labels)),
    }
    for name in SCORES:
        statistics[f"change {name}"] = _difference(statistics[f"after {name}"], statistics[f"before {name}"])
    if found.method == "platt":
        statistics[f"before {SLOPE}"] = calibration_slope(log_odds(probabilities[:, 1]), _positive(labels))
    metrics = with_interval(statistics, list(patients), resamples=resamples, rng=rng)
    if found.method == "platt":
        metrics[f"after {SLOPE}"] = _divided(metrics[f"before {SLOPE}"], found.parameters["slope"])
    return Recalibration(
        map=found,
        rows=len(validation[1]),
        before=_of_part(metrics, "before"),
        after=_of_part(metrics, "after"),
        change=_of_part(metrics, "change"),
    )


def _divided(slope: Metric, by: float) -> Metric:
    """Return the slope after a line whose own slope is `by`: no fit is needed for it."""
    if by == 0:
        return Metric(None, slope.n)
    ends = [None if end is None else end / by for end in (slope.low, slope.high)]
    low, high = ends if by > 0 else reversed(ends)
    return replace(slope, value=None if slope.value is None else slope.value / by, low=low, high=high)


def _statistics(probabilities: Floats, labels: NDArray[np.int64]) -> dict[str, Statistic]:
    rules = {"calibration_error": calibration_error, "brier": brier, "log_loss": log_loss}
    found = {name: rule(probabilities, labels) for name, rule in rules.items()}
    if probabilities.shape[1] > 2:
        return found
    return {**found, INTERCEPT: calibration_intercept(log_odds(probabilities[:, 1]), _positive(labels))}


def _positive(labels: NDArray[np.int64]) -> Floats:
    return np.asarray(labels == 1, dtype=np.float64)


def _named(part: str, statistics: Mapping[str, Statistic]) -> dict[str, Statistic]:
    return {f"{part} {name}": statistic for name, statistic in statistics.items()}


def _difference(first: Statistic, second: Statistic) -> Statistic:
    return lambda weights: first(weights) - second(weights)


def _of_part(metrics: Mapping[str, Metric], part: str) -> dict[str, Metric]:
    found = {name.removeprefix(f"{part} "): m for name, m in metrics.items() if name.startswith(f"{part} ")}
    return {name: m if m.value is not None else Metric(None, m.n, reason=_UNDEFINED) for name, m in found.items()}


_UNDEFINED: Final = "labels are of one class, or parted without an error"
