"""Percentile intervals by a bootstrap over patients, as row weights.

Efron and Tibshirani 1993 (An Introduction to the Bootstrap), chapters 13 and 16. Rows of one patient stay together
(a cluster bootstrap), since they are not independent. All metrics are computed on the same resamples.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.metrics.types import Floats, Metric, Statistic

LEVEL: Final = 0.95
_CHUNK_ELEMENTS: Final = 2**18  # 2 MB an array: stays in the cache, and bounds the memory of large sites.


def with_interval(
    statistics: Mapping[str, Statistic],
    patients: Sequence[str],
    *,
    resamples: int,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> dict[str, Metric]:
    """Return each statistic's value at weights 1, with its interval over patients, of 95 % unless `level` says else.

    patients: (n,) patient id of each row, n >= 1. resamples: 0 gives no interval. A statistic that is undefined (NaN)
    gives a Metric without a value and without a reason: the caller knows which.
    """
    ones, distinct = np.ones(len(patients)), len(set(patients))
    values = {name: float(statistic(ones)) for name, statistic in statistics.items()}
    # Of one patient every resample is the rows themselves, and no interval is made of them.
    needed = resamples if distinct > 1 else min(resamples, 1)
    replicates = _replicates(statistics, patients, resamples=needed, rng=rng)
    return {
        name: interval(value, replicates[name], rows=len(patients), units=distinct, unit="patient", level=level)
        for name, value in values.items()
    }


def interval(value: float, replicates: Floats, *, rows: int, units: int, unit: str, level: float = LEVEL) -> Metric:
    """Return `value` with the percentile interval of its bootstrap replicates (resamples,), NaN where undefined.

    There is none where no replicates were asked for, where one unit alone was resampled, or where fewer than half of
    the replicates are defined.
    """
    if not isfinite(value):
        return Metric(None, rows)
    if not len(replicates):
        return Metric(value, rows)
    if units < 2:
        return Metric(value, rows, reason=f"one {unit} only: no interval")
    defined = replicates[np.isfinite(replicates)]
    if 2 * len(defined) < len(replicates):
        return Metric(value, rows, reason=f"defined in {len(defined)} of {len(replicates)} resamples: no interval")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Metric(value, rows, float(low), float(high))


def patient_weights(
    patients: Sequence[str], *, resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield row weights (some resamples, n): how often each row's patient was drawn, with replacement.

    The chunks are of bounded size and hold `resamples` rows together.
    """
    codes = np.unique(np.asarray(patients), return_inverse=True)[1]
    distinct = int(codes.max()) + 1
    chunk = max(1, _CHUNK_ELEMENTS // len(codes))
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(distinct, size=(rows, distinct)) + distinct * np.arange(rows)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=rows * distinct).reshape(rows, distinct)
        yield counts[:, codes].astype(np.float64)


def _replicates(
    statistics: Mapping[str, Statistic], patients: Sequence[str], *, resamples: int, rng: np.random.Generator
) -> dict[str, Floats]:
    if not resamples:
        return dict.fromkeys(statistics, np.empty(0))
    found: dict[str, list[Floats]] = {name: [np.empty(0)] for name in statistics}
    for weights in patient_weights(patients, resamples=resamples, rng=rng):
        for name, statistic in statistics.items():
            found[name].append(statistic(weights))
    return {name: np.concatenate(parts) for name, parts in found.items()}
