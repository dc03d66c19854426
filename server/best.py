"""Which round's adapter was the best on validation rows."""

from collections.abc import Mapping
from typing import Any, Final  # JSON values

from common.state import AdapterState
from server.state import Best

_HIGHER_IS_BETTER: Final = {"auroc": True, "log_loss": False}
"""Metrics that can choose, the preferred one first: without score histograms there is no pooled AUROC."""


def better(
    best: Best | None, *, round_number: int, pooled: Mapping[str, Any], sites: tuple[str, ...], shared: AdapterState
) -> Best | None:
    """Return the best of `best` and this round, by pooled AUROC, or by log loss where no round had one.

    Only rounds that the same sites validated are compared: a site that was away would otherwise choose. A round with
    all those sites and more replaces the best; one that lacks any of them does not compete. Equal values keep the
    earlier round, and a round without either metric never wins.
    """
    for metric, higher in _HIGHER_IS_BETTER.items():
        value = (pooled.get(metric) or {}).get("value")
        if value is not None and _beats(best, metric, value, sites, higher=higher):
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
