"""What a trial's events say, and that a run which is not worth it really ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.study import Study
from server.events import RoundFinished, RunStarted
from simulations import stages
from simulations.folder import RunFolder
from simulations.tune.watching import TrialPruned, Watcher


def finished(number: int, value: float | None) -> RoundFinished:
    pooled: dict[str, Any] = {} if value is None else {"auroc": {"value": value}}
    return RoundFinished(number, 4, {}, {"pooled": pooled})


def test_validation_belongs_to_the_round_before() -> None:
    told: list[tuple[int, float]] = []
    watcher = Watcher("auroc", lambda *each: told.append(each), lambda: False)
    for event in (RunStarted("run", (), 0, 4), finished(1, 0.5), finished(2, 0.6), finished(3, None), finished(4, 0.7)):
        watcher(event)
    assert told == [(1, 0.6), (3, 0.7)]
    assert (watcher.values, watcher.looks) == ({1: 0.6, 3: 0.7}, 4)


def test_a_run_that_is_worse_ends_before_its_rounds_do(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study("federation.rounds=5", "training.local_epochs=1", "evaluation.resamples=0")
    watcher = Watcher("auroc", lambda *_: None, lambda: True)
    sites = stages.start(study, RunFolder(tmp_path / "run"), threads=1, device="cpu")
    with pytest.raises(TrialPruned):
        stages.play(sites, runtime="inprocess", progress=watcher)
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert list(watcher.values) == [1]
    assert events.count('"event": "RoundStarted"') + events.count('"event": "round_started"') == 2


def test_the_value_is_that_of_the_kept_round(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study("federation.rounds=3", "training.local_epochs=1", "evaluation.keep=best")
    watcher = Watcher("auroc", lambda *_: None, lambda: False)
    sites = stages.start(study, RunFolder(tmp_path / "run"), threads=1, device="cpu")
    outcome = stages.play(sites, runtime="inprocess", progress=watcher)
    assert watcher.finish(outcome) == max(watcher.values.values())
    recorded = [each["validation"]["pooled"]["auroc"]["value"] for each in outcome.rounds]  # type: ignore[index] # played
    assert [watcher.values[number] for number in (1, 2, 3)] == recorded
    assert watcher.looks == 4
