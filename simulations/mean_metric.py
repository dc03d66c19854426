"""The mean of a metric over sites, every site counting the same."""

from collections.abc import Mapping

import numpy as np

from common.metrics.types import Metric, Scores


def mean_over_sites(sites: Mapping[str, Scores]) -> dict[str, Metric]:
    """Return the mean of each metric over the sites that have it; `n` is their number of rows.

    The interval combines the sites' own, which are independent (no patient is at two sites), by the distances of their
    ends from the estimate in quadrature (MOVER, Zou and Donner 2008, https://doi.org/10.1002/sim.3095).
    """
    names = list(dict.fromkeys(name for scores in sites.values() for name in scores.metrics))
    return {
        name: _mean([scores.metrics[name] for scores in sites.values() if name in scores.metrics]) for name in names
    }


def _mean(metrics: list[Metric]) -> Metric:
    known = [m for m in metrics if m.value is not None]
    n = sum(m.n for m in known)
    if not known:
        return Metric(None, n, reason="no site has it")
    value = float(np.mean([m.value for m in known]))
    left_out = len(metrics) - len(known)
    note = f"mean of {len(known)} of {len(metrics)} sites" if left_out else None
    if any(m.low is None or m.high is None for m in known):
        return Metric(value, n, reason=note)
    below = float(np.linalg.norm([m.value - m.low for m in known])) / len(known)  # type: ignore[operator] # checked above
    above = float(np.linalg.norm([m.high - m.value for m in known])) / len(known)  # type: ignore[operator] # checked above
    return Metric(value, n, value - below, value + above, reason=note)
