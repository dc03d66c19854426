"""What a trial's rounds say on validation rows, and the end of one that is not worth going on with.

Nothing here sees a test row: an event of a round carries pooled validation metrics only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any  # JSON values

from server.closing import Outcome
from server.events import Event, RoundFinished


class TrialPruned(Exception):
    """Ends a run from its progress callback: later rounds would not make it one of the better ones."""


@dataclass
class Watcher:
    """A Progress that notes the objective after each round, and raises TrialPruned where `worse` says so.

    report: called with each round and its value. values: by round; a round without a value is left out.
    looks: how many adapters were scored on the validation rows, the initial one among them.
    """

    objective: str
    report: Callable[[int, float], None]
    worse: Callable[[], bool]
    values: dict[int, float] = field(default_factory=dict)
    looks: int = 0

    def __call__(self, event: Event) -> None:
        """Note the validation that came with a round's replies: it is of the adapter that went into the round."""
        if not isinstance(event, RoundFinished):
            return
        self.looks += 1
        value = value_in(event.pooled, self.objective)
        if event.round < 2 or value is None:
            return
        self._note(event.round - 1, value)
        if self.worse():
            raise TrialPruned

    def finish(self, outcome: Outcome) -> float | None:
        """Note the last round, and return the value of the round that the study keeps."""
        self.looks += 1
        last = value_in(_pooled(outcome.rounds[-1]["validation"]), self.objective)
        if last is not None:
            self._note(len(outcome.rounds), last)
        return self.values.get(outcome.kept_round)

    def _note(self, number: int, value: float) -> None:
        self.values[number] = value
        self.report(number, value)


def why_without(outcome: Outcome, objective: str) -> str:
    """Return why the kept round has no value."""
    metric = _pooled(outcome.rounds[outcome.kept_round - 1]["validation"]).get(objective) or {}
    return f"the validation rows give no {objective}: {metric.get('reason', 'no site sent what it is made of')}"


def _pooled(validation: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (validation or {}).get("pooled") or {}


def value_in(pooled: Mapping[str, Any], objective: str) -> float | None:
    """Return the metric's value; None where it has none.

    >>> value_in({"auroc": {"value": 0.75}}, "auroc"), value_in({}, "auroc")
    (0.75, None)
    """
    value = (pooled.get(objective) or {}).get("value")
    return None if value is None else float(value)
