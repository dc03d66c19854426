"""The mean of a metric over sites, every site counting the same."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.metrics.mover import in_quadrature
from common.metrics.types import Metric, Scores


def mean_over_sites(sites: Mapping[str, Scores]) -> dict[str, Metric]:
    """Return the mean of each metric over the sites that have it; `n` is their number of rows.

    The interval combines the sites' own (see `common.metrics.mover`); without one of them there is none.
    """
    names = list(dict.fromkeys(name for scores in sites.values() for name in scores.metrics))
    return {
        name: mean_of([scores.metrics[name] for scores in sites.values() if name in scores.metrics]) for name in names
    }


def mean_of(metrics: Sequence[Metric]) -> Metric:
    """Return the mean of what independent sites have, with the interval that theirs make."""
    known = [metric for metric in metrics if metric.value is not None]
    if not known:
        return Metric(None, 0, reason="no site has it")
    values = [metric.value for metric in known if metric.value is not None]
    shares = [1 / len(known)] * len(known)
    value, n = float(np.mean(values)), sum(metric.n for metric in known)
    note = None if len(known) == len(metrics) else f"mean of {len(known)} of {len(metrics)} sites"
    ends = [(metric.low, metric.high) for metric in known if metric.low is not None and metric.high is not None]
    if len(ends) < len(known):
        return Metric(value, n, reason=note)
    below, above = (in_quadrature(shares, values, side) for side in zip(*ends, strict=True))
    return Metric(value, n, value - below, value + above, reason=note)
