"""A run as columns of numbers by round, for charts: JSON that is small, and that grows at its end only."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final  # JSON values

from server.dashboard.scores import POOLED
from server.dashboard.state import Record, View
from server.report.values import find, number

LETTERS: Final = {"accepted": "a", "refused": "r", "late": "l", "failed": "f", "absent": "n"}
NOT_ASKED: Final = "-"
_DIGITS: Final = 6
_GRADIENT: Final = "gradient_norm"
Column = list[float | None]


def columns(view: View, metric: str | None, *, since: int = 0) -> dict[str, Any]:
    """Return what charts draw, of rounds from `since` on; every list of sites is in the order of `sites`.

    metric: of the scores; None or one that there is not takes the leading one. Scores begin with round 0, the initial
    adapter's.
    """
    records = [view.records[k] for k in sorted(view.records) if k >= since]
    scored = [k for k in sorted(view.scores) if k >= since]
    chosen = metric if metric in view.metrics else next(iter(view.metrics), None)
    return {
        "since": since,
        "sites": list(view.sites),
        "rounds": [find(record, "round") for record in records],
        "participation": ["".join(_letter(record, site) for record in records) for site in view.sites],
        "seconds": _of(records, "seconds", "total"),
        "loss": _both(records, view.sites, ("train", "mean", "loss"), lambda s: ("train", "sites", s, "loss")),
        "gradient": _both(
            records, view.sites, ("train", "mean", _GRADIENT), lambda s: ("train", "sites", s, _GRADIENT)
        ),
        "norm": _both(
            records, view.sites, ("diagnostics", "aggregated_norm"), lambda s: ("diagnostics", "update_norms", s)
        ),
        "cosine": _both(
            records, view.sites, ("diagnostics", "pairwise_cosine"), lambda s: ("diagnostics", "cosines", s)
        ),
        **{key: _of(records, "diagnostics", key) for key in ("drift", "aggregation_error", "effective_rank")},
        "bytes_up": [_total(record, "bytes_up") for record in records],
        "bytes_down": [_total(record, "bytes_down") for record in records],
        "metric": chosen,
        "scores": None if chosen is None else _scores(view, scored, chosen),
    }


def _scores(view: View, rounds: Sequence[int], metric: str) -> dict[str, Any]:
    def of(scope: str) -> dict[str, Column]:
        found = [view.scores[k].at(scope, metric) for k in rounds]
        return {name: _short(each[place] for each in found) for place, name in enumerate(("value", "low", "high"))}

    return {"rounds": list(rounds), "pooled": of(POOLED), "sites": [of(site) for site in view.sites]}


def _both(
    records: Sequence[Record], sites: Sequence[str], whole: tuple[str, ...], of_site: Callable[[str], tuple[str, ...]]
) -> dict[str, Any]:
    return {"whole": _of(records, *whole), "sites": [_of(records, *of_site(site)) for site in sites]}


def _of(records: Iterable[Mapping[str, Any]], *path: str) -> Column:
    return _short(number(record, *path) for record in records)


def _short(values: Iterable[float | None]) -> Column:
    return [None if value is None else float(f"{value:.{_DIGITS}g}") for value in values]


def _letter(record: Record, site: str) -> str:
    return LETTERS.get(str(find(record, "participation", site, "status")), NOT_ASKED)


def _total(record: Record, key: str) -> int:
    replies = find(record, "participation") or {}
    return int(sum(number(reply, key) or 0 for reply in replies.values()))
