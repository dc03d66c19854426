"""Which round's adapter was the best on validation rows."""

from collections.abc import Mapping
from typing import Any  # JSON values

from common.metrics.measure import Measure
from common.state import AdapterState
from server.state import Best


def better(
    best: Best | None,
    *,
    round_number: int,
    pooled: Mapping[str, Any],
    measure: Measure,
    sites: tuple[str, ...],
    shared: AdapterState,
) -> Best | None:
    """Return the best of `best` and this round, by the first of the measure's choosing metrics that some round has.

    So a classifier is chosen by AUROC, or by log loss where no round had one: without score histograms none is pooled.

    Only rounds that the same sites validated are compared: a site that was away would otherwise choose. A round with
    all those sites and more replaces the best; one that lacks any of them does not compete. Equal values keep the
    earlier round, and a round without either metric never wins.
    """
    higher_is_better = {info.name: info.higher_is_better for info in measure.infos}
    for metric in measure.choosing:
        value = (pooled.get(metric) or {}).get("value")
        if value is not None and _beats(best, metric, value, sites, higher=higher_is_better[metric]):
            return Best(round=round_number, metric=metric, value=value, sites=sites, shared=shared)
        if value is not None or (best is not None and best.metric == metric):
            return best
    return best


def _beats(best: Best | None, metric: str, value: float, sites: tuple[str, ...], *, higher: bool) -> bool:
    if best is None or set(sites) > set(best.sites):
        return True
    if set(sites) != set(best.sites):
        return False
    if best.metric != metric:
        return True
    return value > best.value if higher else value < best.value
