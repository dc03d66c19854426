from dataclasses import replace

from server.dashboard.state import View, fold
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

SITES = ("east", "west")


def scores(value: float) -> dict[str, object]:
    metric = {"auroc": {"value": value, "low": 0.1, "high": 1.0, "n": 9}}
    return {"sites": {"east": metric}, "pooled": metric}


def finished(number: int, value: float = 0.5) -> RoundFinished:
    record = {"round": number, "participation": {}, "train": {"mean": {"loss": 1.0 / number}, "sites": {}}}
    return RoundFinished(number, 3, record, scores(value))


def folded(*events: Event) -> View:
    view = View()
    for place, event in enumerate(events):
        view = fold(event, view, f"2026-01-01T00:00:{place:02}+00:00")
    return view


def answered(number: int, site: str) -> SiteAnswered:
    return SiteAnswered(number, site, "accepted", None, 10, 1.0, {})


def test_scores_belong_to_the_round_before() -> None:
    view = folded(RunStarted("r", SITES, 0, 3), finished(1, 0.4), finished(2, 0.6))
    assert {number: found.value("", "auroc") for number, found in view.scores.items()} == {0: 0.4, 1: 0.6}
    assert folded(RunFinished(3, 2, scores(0.9))).scores[3].value("east", "auroc") == 0.9


def test_a_round_under_way_knows_who_answered() -> None:
    view = folded(RunStarted("r", SITES, 0, 3), RoundStarted(1, 3, "train", SITES), answered(1, "east"))
    assert view.asking is not None
    assert list(view.asking.answers) == ["east"]
    assert view.asking.since == "2026-01-01T00:00:01+00:00"
    assert fold(finished(1), view).asking is None


def test_waiting_is_over_with_an_answer() -> None:
    asked = folded(RoundStarted(1, 3, "train", SITES), SitesAwaited(1, {"west": "not connected"}, "later"))
    assert asked.asking is not None
    assert asked.asking.awaited == {"west": "not connected"}
    answer = fold(answered(1, "west"), asked).asking
    assert answer is not None
    assert answer.awaited == {}


def test_a_resumed_run_plays_what_follows_its_checkpoint_anew() -> None:
    killed = [RunStarted("r", SITES, 0, 3), finished(1), finished(2, 0.1), RunStopped(2, "too few")]
    resumed = folded(*killed, RunStarted("r", SITES, 1, 3))
    assert resumed.done == 1
    assert resumed.stopped is None
    assert set(resumed.scores) == {0}
    again = fold(finished(2, 0.7), resumed)
    assert again.scores[1].value("", "auroc") == 0.7


def test_the_round_that_a_killed_process_did_not_say_is_known() -> None:
    view = folded(RunStarted("r", SITES, 0, 3), finished(1), RunStarted("r", SITES, 2, 3, finished(2)))
    assert sorted(view.records) == [1, 2]


def test_saying_it_again_changes_nothing() -> None:
    once = folded(RunStarted("r", SITES, 0, 3), finished(1))
    assert replace(fold(finished(1), once), latest=once.latest) == once


def test_a_view_is_not_changed_by_what_follows() -> None:
    before = folded(RunStarted("r", SITES, 0, 3), finished(1))
    kept = dict(before.records), dict(before.scores)
    fold(finished(2), before)
    assert (before.records, before.scores) == kept


def test_a_site_that_lacks_something_is_named_until_it_is_ready() -> None:
    lacking = folded(SiteChecked("east", False, "no approval", {}))
    assert lacking.lacking == {"east": "no approval"}
    assert fold(SiteChecked("east", True, "", {}), lacking).lacking == {}
