"""What a run's events come to, step by step: `fold(event, view)` is the view after the event, and nothing is kept.

The events of a run that was killed and resumed say a round twice; the last one counts, as in `results.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any  # records are JSON

from server.dashboard.scores import Scores, scores_of
from server.events import (
    Event,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    RunStopped,
    SiteAnswered,
    SiteChecked,
    SitesAwaited,
)

Record = Mapping[str, Any]
"""A round as `results.json` has it, its validation null."""


@dataclass(frozen=True)
class Asking:
    """A round under way: who is asked, since when (ISO, UTC), what became of each answer so far, who is awaited."""

    round: int
    kind: str
    cohort: tuple[str, ...]
    since: str
    answers: Mapping[str, SiteAnswered] = field(default_factory=dict)
    awaited: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """A run so far.

    records: the complete rounds by number. scores: by the round whose adapter was scored, 0 the initial one. latest:
    the validation record that came last, in full. stopped: why, where too few sites answered. time: of the last event.
    """

    run: str = ""
    sites: tuple[str, ...] = ()
    rounds: int = 0
    records: Mapping[int, Record] = field(default_factory=dict)
    scores: Mapping[int, Scores] = field(default_factory=dict)
    latest: Mapping[str, Any] = field(default_factory=dict)
    asking: Asking | None = None
    lacking: Mapping[str, str] = field(default_factory=dict)
    kept_round: int | None = None
    is_finished: bool = False
    stopped: str | None = None
    time: str = ""

    @property
    def done(self) -> int:
        """The last complete round, 0 before the first."""
        return max(self.records, default=0)

    @property
    def scored(self) -> int | None:
        """The last round whose adapter was scored; None before the first scores."""
        return max(self.scores, default=None)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the last scores, the leading one first."""
        return () if self.scored is None else self.scores[self.scored].metrics


def fold(event: Event, view: View, time: str = "") -> View:
    """Return the view after `event`, which was written at `time` (ISO, UTC)."""
    return replace(_folded(event, view, time), time=time or view.time)


def _folded(event: Event, view: View, time: str) -> View:
    match event:
        case RunStarted():
            return _started(event, view)
        case SiteChecked():
            return _checked(event, view)
        case RoundStarted():
            asking = Asking(event.round, event.kind, event.cohort, time)
            return replace(view, rounds=event.rounds, asking=asking, is_finished=False, stopped=None)
        case SitesAwaited() if view.asking is not None:
            return replace(view, asking=replace(view.asking, awaited=event.reasons))
        case SiteAnswered() if view.asking is not None:
            answers = {**view.asking.answers, event.site: event}
            return replace(view, asking=replace(view.asking, answers=answers, awaited={}))
        case RoundFinished():
            return _round_finished(event, view)
        case RunFinished():
            found = _scored(view, event.rounds, event.validation)
            return replace(found, kept_round=event.kept_round, is_finished=True, asking=None)
        case RunStopped():
            return replace(view, stopped=event.reason, asking=None)
        case _:
            return view


def _started(event: RunStarted, view: View) -> View:
    """A run that goes on after round k plays k + 1 anew: whatever was said of later rounds is forgotten."""
    kept = {number: record for number, record in view.records.items() if number <= event.round}
    begun = replace(
        view,
        run=event.run,
        sites=event.sites,
        rounds=event.rounds,
        records=kept,
        scores={number: scores for number, scores in view.scores.items() if number < max(event.round, 1)},
        asking=None,
        is_finished=False,
        stopped=None,
        kept_round=None,
    )
    return begun if event.finished is None else _round_finished(event.finished, begun)


def _checked(event: SiteChecked, view: View) -> View:
    others = {site: lacks for site, lacks in view.lacking.items() if site != event.site}
    return replace(view, lacking=others if event.is_ready else {**others, event.site: event.lacks})


def _round_finished(event: RoundFinished, view: View) -> View:
    found = _scored(view, event.round - 1, event.validation)
    records = {**view.records, event.round: event.record}
    return replace(found, rounds=event.rounds, records=records, asking=None, stopped=None)


def _scored(view: View, number: int, validation: Mapping[str, Any] | None) -> View:
    scores = scores_of(validation)
    if scores is None or validation is None:
        return view
    return replace(view, scores={**view.scores, number: scores}, latest=validation)
