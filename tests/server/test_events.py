import json
from pathlib import Path

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
    from_json,
    ignore,
    recorder,
)

RECORD = {
    "round": 1,
    "seconds": {"total": 1.5},
    "participation": {"a": {"status": "accepted"}, "b": {"status": "late"}},
    "train": {"mean": {"loss": 0.5}, "sites": {}},
    "validation": None,
}
VALIDATION = {"sites": {}, "pooled": {"auroc": {"value": 0.7}}}
ROUND = RoundFinished(1, 2, RECORD, VALIDATION)
EVENTS: list[Event] = [
    RunStarted("r", ("a", "b"), 0, 2),
    SiteChecked("a", False, "paused", {"torch": None}),
    RoundStarted(1, 2, "train", ("a", "b")),
    SitesAwaited(1, {"b": "not connected"}, "2026-11-25T10:00:00+00:00"),
    SiteAnswered(1, "a", "refused", "not finite", 300, 0.5, {}),
    ROUND,
    RunStopped(1, "too few"),
    RunStarted("r", ("a", "b"), 1, 2, ROUND),
    RunFinished(2, 2, VALIDATION),
]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def test_every_event_is_a_line_and_is_passed_on(tmp_path: Path) -> None:
    seen: list[Event] = []
    record = recorder(tmp_path / "run" / "events.jsonl", seen.append)
    for number, event in enumerate(EVENTS, 1):
        record(event)
        assert len(lines(tmp_path / "run" / "events.jsonl")) == number  # flushed: a reader sees it at once
    assert seen == EVENTS
    names = [line["event"] for line in lines(tmp_path / "run" / "events.jsonl")]
    assert names == [
        "run_started",
        "site_checked",
        "round_started",
        "sites_awaited",
        "reply",
        "round_finished",
        "run_stopped",
        "run_started",
        "run_finished",
    ]


def test_an_event_is_read_back_from_its_line(tmp_path: Path) -> None:
    record = recorder(tmp_path / "events.jsonl", ignore)
    for event in EVENTS:
        record(event)
    assert [from_json(line) for line in lines(tmp_path / "events.jsonl")] == EVENTS


def test_a_line_cut_by_a_kill_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    recorder(path, ignore)(EVENTS[0])
    path.write_text(path.read_text() + '{"event": "rou')
    recorder(path, ignore)(EVENTS[-1])
    whole, cut, last = path.read_text().splitlines()
    assert json.loads(whole)["event"] == "run_started"
    assert cut == '{"event": "rou'
    assert json.loads(last)["event"] == "run_finished"


def test_a_round_says_what_terminals_show_of_it() -> None:
    assert (ROUND.seconds, ROUND.accepted, ROUND.train) == (1.5, 1, {"loss": 0.5})
    assert ROUND.pooled == {"auroc": {"value": 0.7}}
    assert RoundFinished(1, 2, RECORD, None).pooled == {}
