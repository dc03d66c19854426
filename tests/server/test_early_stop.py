"""Rounds that end early: when, with which adapter, why, and the same after a resumption."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.classes import ClassMeasure
from common.metrics.types import Metric, Scores
from common.protocol import Answer, Reply, Request, SplitEvaluation
from common.state import AdapterSchema, AdapterState, digest_state
from server import checkpoint
from server.aggregation.fedavg import FedAvg
from server.closing import Outcome
from server.early_stop import is_over, stalled
from server.events import Event, RoundFinished, RunFinished
from server.job import ServerJob
from server.state import Best, ServerState

MakeLab = Callable[..., Any]
SHARED: AdapterState = {}
FALLING = (5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.25)
BEST_AT_2 = (5.0, 4.0, 3.0, 3.5, 3.0, 2.0, 1.0)
"""Log losses of the adapter of rounds 0, 1, 2, ...: after round 2 (3.0) none is better until round 5 (2.0)."""


def losing(losses: Sequence[float]) -> Callable[[Reply, Request], Answer]:
    """A site that says these validation losses; the ones that come with round t are of round t - 1."""

    def change(reply: Reply, request: Request) -> Answer:
        if request.kind == "evaluate":
            return reply  # of the last round, whichever it was
        metric = Metric(losses[request.round - 1], n=4)
        scores = Scores(n=4, patients=4, metrics={"log_loss": metric})
        return replace(reply, evaluations={"validation": SplitEvaluation(scores)})

    return change


def played(lab: MakeLab, losses: Sequence[float], folder: str = "run", **changes: Any) -> tuple[Any, Outcome]:
    made = lab(2, folder=folder, site_a=losing(losses), site_b=losing(losses))
    return made, made.run(**{"rounds": 6, "patience": 2, **changes})


def test_the_rounds_end_once_patience_is_over(lab: MakeLab) -> None:
    """Rounds 3 and 4 are no better than round 2; that is known when round 5 has been answered."""
    made, outcome = played(lab, BEST_AT_2)
    assert outcome.state.round == len(outcome.rounds) == 5
    assert outcome.kept_round == 5
    expected = "pooled log_loss was not better than round 2's 3 in rounds 3 to 4 (federation.patience = 2)"
    assert outcome.stopped_early == expected
    assert made.events[-1] == RunFinished(5, 5, outcome.rounds[-1]["validation"])
    assert all(record["validation"] is not None for record in outcome.rounds)


def test_the_best_round_s_adapter_is_kept_where_the_study_says_so(lab: MakeLab) -> None:
    _, outcome = played(lab, BEST_AT_2, keep="best")
    _, two = played(lab, BEST_AT_2, "two", rounds=2)
    assert outcome.kept_round == 2
    assert digest_state(outcome.adapter) == digest_state(two.adapter)


@pytest.mark.parametrize(
    ("losses", "changes"),
    [(FALLING, {}), (BEST_AT_2, {"patience": None}), (BEST_AT_2, {"patience": 3}), (BEST_AT_2, {"rounds": 4})],
)
def test_else_every_round_is_played_and_nothing_is_said(
    losses: Sequence[float], changes: Mapping[str, Any], lab: MakeLab
) -> None:
    _, outcome = played(lab, losses, **changes)
    assert outcome.stopped_early is None
    assert len(outcome.rounds) == changes.get("rounds", 6)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_sites_are_asked_with_the_numbers_that_they_foresee_and_once(keep: str, lab: MakeLab) -> None:
    made, _ = played(lab, BEST_AT_2, keep=keep)
    closing = [(7, ("validation", "test"))] if keep == "last" else [(7, ("validation",)), (8, ("test",))]
    for site in made.sites.values():
        asked = [(request.kind, request.round, request.splits) for request in site.asked]
        train = [("train", number, ("validation",)) for number in range(1, 6)]
        assert asked == [*train, *(("evaluate", number, splits) for number, splits in closing)]


class Stop(Exception):
    """What ends a run from outside."""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_resumed_run_ends_where_it_would_have(number: int, lab: MakeLab) -> None:
    _, whole = played(lab, BEST_AT_2, "whole", keep="best")
    made = lab(2, folder="cut", site_a=losing(BEST_AT_2), site_b=losing(BEST_AT_2))

    def stop(event: Event) -> None:
        if isinstance(event, RoundFinished) and event.round == number:
            raise Stop

    changes: dict[str, Any] = {"rounds": 6, "patience": 2, "keep": "best"}
    with pytest.raises(Stop):
        made.run(progress=stop, **changes)
    state = checkpoint.read(made.folder / "checkpoint", study=made.job().study, seed=7)
    outcome = made.run(state, **changes)
    assert (outcome.kept_round, outcome.stopped_early) == (whole.kept_round, whole.stopped_early)
    assert outcome.state.round == whole.state.round == 5
    assert digest_state(outcome.adapter) == digest_state(whole.adapter)
    lines = [json.loads(line)["event"] for line in (made.folder / "events.jsonl").read_text().splitlines()]
    assert lines.count("round_finished") == 5


def job(*, rounds: int, patience: int | None) -> ServerJob:
    return ServerJob(
        "study", AdapterSchema(()), ClassMeasure(2), FedAvg(), ("a",), rounds, 0, Path("run"), patience=patience
    )


def after(round_number: int, best: Best | None) -> ServerState:
    return ServerState("run", "study", 0, SHARED, round=round_number, best=best)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_it_ends_at_the_first_state_that_shows_patience_rounds_without_a_better_one(
    best: int, patience: int, round_number: int
) -> None:
    state = after(round_number, Best(best, "auroc", 0.9, ("a",), SHARED))
    seen = range(best + 1, round_number)  # validated, and not better
    assert (stalled(state, patience) is not None) == (len(seen) >= patience)
    assert is_over(state, job(rounds=99, patience=patience)) == (len(seen) >= patience)
    assert is_over(state, job(rounds=round_number, patience=None))


def test_without_a_pooled_metric_nothing_ends_early() -> None:
    assert stalled(after(50, None), 1) is None
