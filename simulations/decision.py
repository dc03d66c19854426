"""The decision curve of a simulation, where all sites' scores are at hand: federated, each site alone, all, none."""

from collections.abc import Mapping
from typing import Any  # JSON values

import numpy as np

from common.metrics.classes import ClassMeasure
from common.metrics.decision_curve import THRESHOLDS, net_benefit, treat_all
from simulations.comparison import Scoring
from simulations.jobs import Outputs

CLASSES = 2


def decision_curve(scoring: Scoring, outputs: Mapping[str, Outputs]) -> dict[str, Any] | None:
    """Return `{"thresholds", "n", "prevalence", "modes": {mode: [...]}, "all", "none"}`; None but for two classes.

    outputs: by mode, each site's scores; a mode with scores that are not finite (a diverged model) is left out. Net
    benefit is a mean over rows, so that rows scored by different models can be counted together.
    """
    measure, sites = scoring.measure, sorted(scoring.rows)
    if not isinstance(measure, ClassMeasure) or measure.classes != CLASSES:
        return None
    positive = np.concatenate([scoring.rows[site].labels for site in sites]) == 1
    if not len(positive):
        return None
    scores = {mode: np.concatenate([found[site][:, 1] for site in sites]) for mode, found in outputs.items()}
    return {
        "thresholds": THRESHOLDS.tolist(),
        "n": len(positive),
        "prevalence": float(positive.mean()),
        "modes": {m: net_benefit(p, positive).tolist() for m, p in scores.items() if np.isfinite(p).all()},
        "all": treat_all(positive).tolist(),
        "none": [0.0] * len(THRESHOLDS),
    }
