"""What a run tells of its rounds is what its results will say of them, also where it goes on after a kill."""

from typing import Any

import pytest

from server import checkpoint
from server.events import Event, RoundFinished, RunFinished, RunStarted

MakeLab = Any  # the fixture's factory


def test_the_events_tell_every_round_as_the_results_have_it(lab: MakeLab) -> None:
    made = lab(2)
    outcome = made.run()
    told = [event for event in made.events if isinstance(event, RoundFinished)]
    (end,) = [event for event in made.events if isinstance(event, RunFinished)]
    validations = [*(event.validation for event in told[1:]), end.validation]
    assert told[0].validation == outcome.initial
    assert [{**e.record, "validation": v} for e, v in zip(told, validations, strict=True)] == list(outcome.rounds)


def test_a_resumed_run_tells_the_round_that_it_goes_on_after(lab: MakeLab) -> None:
    made, seen = lab(2), []

    def stop_after_two(event: Event) -> None:
        seen.append(event)
        if isinstance(event, RoundFinished) and event.round == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.run(progress=stop_after_two)
    state = checkpoint.read(made.folder / "checkpoint", study=made.job().study, seed=made.job().seed)
    made.run(state)
    assert isinstance(seen[-1], RoundFinished)
    assert made.events[0] == RunStarted(state.run, ("site-a", "site-b"), 2, 3, seen[-1])
