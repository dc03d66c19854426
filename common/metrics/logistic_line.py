"""Logistic regression of labels on one number, for any row weights: how a model's log odds should be read.

Newton's method, on all sets of weights at once, so that a bootstrap's thousand fits are one.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from common.metrics.types import Floats, Statistic

STEPS: Final = 40
LONGEST: Final = 2.0
"""Of one step, in standardised units: a longer one overshoots where the curve is flat."""
SMALLEST_P: Final = 1e-12
_CONVERGED: Final = 1e-6
"""Of the last step: Newton's error after it is of the size of its square."""
_FARTHEST: Final = 50.0
"""Beyond it the labels are parted without an error, and there is no finite fit."""


def log_odds(probability: Floats) -> Floats:
    """Return ln(p / (1 - p)), with p kept 1e-12 from 0 and 1.

    >>> log_odds(np.array([0.5, 0.75])).round(4).tolist()
    [0.0, 1.0986]
    """
    kept = np.clip(probability, SMALLEST_P, 1 - SMALLEST_P)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def expit(value: Floats) -> Floats:
    """Return 1 / (1 + e^-value), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * value)))


def fit_line(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return slope and intercept of the largest weighted likelihood of y given x; NaN where there is no finite one.

    x: (n,). y: (n,) in [0, 1]. weights: (..., n). Both results are (...).
    """
    centre, scale = float(x.mean()), float(x.std()) or 1.0
    z = (x - centre) / scale
    found = _climbed(lambda each, start: _newton_step(z, y, each, start), weights, numbers=2)
    return found[..., 0] / scale, found[..., 1] - found[..., 0] * centre / scale


def _climbed(step_of: Callable[[Floats, Floats], Floats], weights: Floats, *, numbers: int) -> Floats:
    """Return the best parameters (..., numbers) for each set of weights, from those that are best for all together."""
    start = np.zeros(numbers)
    if weights.ndim > 1:
        whole = _climbed(step_of, weights.mean(axis=tuple(range(weights.ndim - 1))), numbers=numbers)
        start = whole if np.isfinite(whole).all() else start
    found = np.broadcast_to(start, (*weights.shape[:-1], numbers)).copy()
    step = np.ones_like(found)
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            step = step_of(weights, found)
            found = found + step
            if not (np.abs(step) > _CONVERGED).any():
                break
    fits = np.asarray((np.abs(step) <= _CONVERGED) & (np.abs(found) < _FARTHEST)).all(axis=-1, keepdims=True)
    return np.where(fits, found, np.nan)


def _newton_step(z: Floats, y: Floats, weights: Floats, found: Floats) -> Floats:
    p = expit(found[..., :1] * z + found[..., 1:])
    gap, curve = weights * (y - p), weights * p * (1 - p)
    gradient = np.stack([gap @ z, gap.sum(axis=-1)], axis=-1)
    aa, ab, bb = curve @ (z * z), curve @ z, curve.sum(axis=-1)
    determinant = aa * bb - ab * ab
    step = np.stack([bb * gradient[..., 0] - ab * gradient[..., 1], aa * gradient[..., 1] - ab * gradient[..., 0]], -1)
    step = step / determinant[..., None]
    length = np.linalg.norm(step, axis=-1, keepdims=True)
    return np.asarray(np.where(length > LONGEST, step * (LONGEST / length), step))


def fit_shift(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Return the intercept of the largest weighted likelihood with the slope fixed at 1; NaN where there is none."""

    def step_of(each: Floats, found: Floats) -> Floats:
        p = expit(x + found)
        step = (each * (y - p)).sum(axis=-1) / (each * p * (1 - p)).sum(axis=-1)
        return np.asarray(np.clip(step, -LONGEST, LONGEST)[..., None])

    return _climbed(step_of, weights, numbers=1)[..., 0]


def calibration_slope(x: Floats, y: Floats) -> Statistic:
    """Return the slope of the labels' log odds in the predicted ones, x: 1 is right, less is overconfident.

    Cox 1958, https://doi.org/10.1093/biomet/45.3-4.562. Undefined where the labels are parted without an error.
    """
    return lambda weights: fit_line(x, y, weights)[0]


def calibration_intercept(x: Floats, y: Floats) -> Statistic:
    """Return calibration in the large: what would have to be added to the log odds, the slope held at 1; 0 is right.

    Van Calster et al. 2019, https://doi.org/10.1186/s12916-019-1466-7.
    """
    return lambda weights: fit_shift(x, y, weights)
