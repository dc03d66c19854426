"""A run's events and results as figures: the one place that knows both forms. No I/O."""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any  # JSON values

from server.events import Event, RoundFinished, RunFinished, RunStarted
from server.trackers import Batch, Point

_COUNTS = ("examples", "bytes_up", "bytes_down")


def batches(events: Iterable[tuple[int, Event]]) -> Iterator[Batch]:
    """Yield the figures of events with their times (ms); a round that is told again is there again, the same.

    The validation that comes with a round is of the adapter that went into it: of the round before.
    """
    for time_ms, event in events:
        done = event.finished if isinstance(event, RunStarted) else event
        if isinstance(done, RoundFinished):
            found = (*round_points(done.record), *validation_points(done.round - 1, done.validation))
            yield Batch(done.round, time_ms, found)
        elif isinstance(done, RunFinished):
            yield Batch(done.rounds + 1, time_ms, tuple(validation_points(done.rounds, done.validation)), is_last=True)


def round_points(record: Mapping[str, Any]) -> Iterator[Point]:
    """Yield the figures of a round as `results.json` has it, its validation apart."""
    number = record["round"]
    yield from _mapping(number, None, "seconds", record["seconds"])
    yield from _participation(number, record["participation"])
    yield from _mapping(number, None, "train", record["train"]["mean"])
    for site, values in record["train"]["sites"].items():
        yield from _mapping(number, site, "train", values)
    for name, value in record["diagnostics"].items():
        if isinstance(value, Mapping):
            for site, each in value.items():  # the words of `reasons` are no figures
                yield from _figure(number, site, f"diagnostics/{name}", each)
        else:
            yield from _figure(number, None, f"diagnostics/{name}", value)


def validation_points(number: int, validation: Mapping[str, Any] | None) -> Iterator[Point]:
    """Yield what the adapter of round `number` scores on the sites' validation rows."""
    yield from _scores(number, "validation", validation or {})


def results_points(results: Mapping[str, Any]) -> Iterator[Point]:
    """Yield what the models of `results.json` score on the test rows, at the round whose adapter was kept."""
    for name, scores in (results["comparison"] or {}).items():
        if isinstance(scores, Mapping) and {"sites", "pooled"} <= scores.keys():
            yield from _scores(results["kept_round"], f"test/{name}", scores)


def _participation(number: int, shares: Mapping[str, Any]) -> Iterator[Point]:
    asked = {site: share for site, share in shares.items() if share is not None}
    for site, share in asked.items():
        yield from _figure(number, site, "participation/accepted", float(share["status"] == "accepted"))
        for name in _COUNTS:
            yield from _figure(number, site, f"participation/{name}", share[name])
    accepted = sum(share["status"] == "accepted" for share in asked.values())
    yield from _mapping(number, None, "participation", {"asked": len(asked), "accepted": accepted})
    for name in _COUNTS:
        total = sum(share[name] or 0 for share in asked.values())
        yield from _figure(number, None, f"participation/{name}", total)


def _scores(number: int, name: str, scores: Mapping[str, Any]) -> Iterator[Point]:
    for site, metrics in (scores.get("sites") or {}).items():
        yield from _metrics(number, site, name, metrics)
    yield from _metrics(number, None, name, scores.get("pooled") or {})


def _metrics(number: int, site: str | None, name: str, metrics: Mapping[str, Any]) -> Iterator[Point]:
    for metric, found in metrics.items():
        if _is_figure(found.get("value")):
            bounds = (found["low"], found["high"])
            low, high = (float(each) if _is_figure(each) else None for each in bounds)
            yield Point(number, site, f"{name}/{metric}", float(found["value"]), low, high, found.get("n"))


def _mapping(number: int, site: str | None, name: str, values: Mapping[str, Any]) -> Iterator[Point]:
    for key, value in values.items():
        yield from _figure(number, site, f"{name}/{key}", value)


def _figure(number: int, site: str | None, name: str, value: object) -> Iterator[Point]:
    if _is_figure(value):
        yield Point(number, site, name, float(value))  # type: ignore[arg-type] # it is a number


def _is_figure(value: object) -> bool:
    """Whether it is a finite number; absent is null, and words are not for tracking."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
