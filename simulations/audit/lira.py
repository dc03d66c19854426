"""Membership by shadow models: how much likelier is what the model says of a row if it trained on it than if not?

Carlini et al. 2022, "Membership Inference Attacks From First Principles", https://arxiv.org/abs/2112.03570, algorithm 1
(online): normal distributions are fitted to the confidences of shadow models that saw the row, and of those that did
not. As there (section VI-C), with few shadows one variance is shared by all rows. With fewer than eight the fit says
nothing, and the score is the confidence less the mean of both means (Watson et al. 2022,
https://arxiv.org/abs/2111.08440, calibrates by such a difference).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.metrics.types import Floats

FEWEST_FOR_A_FIT: Final = 8
FEWEST_FOR_OWN_VARIANCES: Final = 64
_LEAST_LOSS: Final = 1e-9
_LEAST_VARIANCE: Final = 1e-12


def confidence(losses: Floats) -> Floats:
    """Return log(p / (1 - p)) with p = exp(-loss), whose distribution is close to normal.

    >>> confidence(np.array([np.log(4 / 3)])).round(3).tolist() == [round(np.log(3), 3)]
    True
    """
    return np.asarray(-np.log(np.expm1(np.clip(losses, _LEAST_LOSS, 500.0))))


def membership_scores(target: Floats, shadows: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Return a score (n,) for each row, larger where it is likelier a member.

    Args:
        target: (n,) confidences of the model under attack.
        shadows: (K, n) those of the shadow models.
        inside: (K, n) which shadow trained on which row; each row is inside some, and outside some.
    """
    means = {kind: _mean(shadows, chosen) for kind, chosen in (("in", inside), ("out", ~inside))}
    if len(shadows) < FEWEST_FOR_A_FIT:
        return np.asarray(target - (means["in"] + means["out"]) / 2)
    logs = {}
    for kind, chosen in (("in", inside), ("out", ~inside)):
        variance = _variance(shadows, chosen, means[kind])
        logs[kind] = -((target - means[kind]) ** 2) / (2 * variance) - np.log(variance) / 2
    return np.asarray(logs["in"] - logs["out"])


def _mean(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    return np.asarray((values * chosen).sum(axis=0) / chosen.sum(axis=0))


def _variance(values: Floats, chosen: NDArray[np.bool_], mean: Floats) -> Floats:
    """Return the variance of each row (n,), or the one of all rows (1,); degrees of freedom are taken off."""
    squares, counts = (chosen * (values - mean) ** 2).sum(axis=0), chosen.sum(axis=0) - 1
    if len(values) < FEWEST_FOR_OWN_VARIANCES:
        squares, counts = squares.sum(keepdims=True), counts.sum(keepdims=True)
    return np.asarray(np.maximum(squares / np.maximum(counts, 1), _LEAST_VARIANCE))
