"""Where a round's seconds go: stations that are set by hand, and parts that must add up to the round."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.bench.passages import GIVEN, PARTS, TAKEN, SiteLog, median_parts, passages, site_log

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()


def event(name: str, second: float, **values: Any) -> dict[str, Any]:
    time = datetime.fromtimestamp(BEGIN + second, UTC).isoformat(timespec="milliseconds")
    return {"time": time, "event": name, "round": 1, **values}


def reply(site: str, second: float, *, asked: float, train: float, evaluate: float) -> dict[str, Any]:
    figures = {"seconds_train": train, "seconds_evaluate": evaluate}
    return event("reply", second, site=site, seconds=second - asked, train=figures)


def at(*seconds: float) -> list[float]:
    return [BEGIN + second for second in seconds]


EVENTS = [
    event("run_started", -1),
    event("round_started", 0, kind="train"),
    reply("east", 4, asked=0.2, train=0.5, evaluate=0.1),
    reply("north", 5, asked=0.3, train=1.5, evaluate=0.5),
    event("round_finished", 5.25),
    event("round_started", 6, kind="evaluate"),
]
LOGS = {
    "east": SiteLog(at(-0.5, 0.7), at(-0.4, 3.0), {1: BEGIN + 2.9}),
    "north": SiteLog(at(-0.5, 1.0), at(-0.4, 3.5), {1: BEGIN + 3.25}),
}


def test_the_site_that_is_judged_last_says_where_the_seconds_went() -> None:
    [found] = passages(EVENTS, LOGS)
    assert found.seconds == pytest.approx(5.25)
    assert found.overhead == pytest.approx(5.25 - 2.0)
    # north began at 3.25 - 2 s of work = 1.25
    expected = {"push": 0.3, "delivery": 0.7, "gateway_in": 0.25}
    expected |= {"gateway_out": 0.25, "upload_and_pull": 1.5, "fold_and_checkpoint": 0.25}
    assert found.parts == pytest.approx(expected, abs=1e-5)
    assert found.messages == 1


def test_a_second_message_in_a_round_is_counted() -> None:
    [found] = passages(EVENTS, {**LOGS, "east": SiteLog(at(0.7, 2.0), at(3.0), {1: BEGIN + 2.9})})
    assert found.messages == 2


@given(steps=st.lists(st.integers(1, 5000), min_size=7, max_size=7))
def test_work_and_parts_are_the_whole_round(steps: list[int]) -> None:
    moments = [sum(steps[:n]) / 1000 for n in range(8)]
    start, sent, taken, begun, released, given_back, judged, end = moments
    events = [
        event("round_started", start, kind="train"),
        reply("one", judged, asked=sent, train=released - begun, evaluate=0.0),
        event("round_finished", end),
    ]
    [found] = passages(events, {"one": SiteLog(at(taken), at(given_back), {1: BEGIN + released})})
    assert sum(found.parts.values()) + found.work == pytest.approx(found.seconds, abs=1e-5)
    assert median_parts([found]) == found.parts
    assert tuple(found.parts) == PARTS


def test_a_gateways_log_is_read_beside_other_lines() -> None:
    moment = datetime(2026, 1, 5, 12, 0, 1, 250000)  # a log has local time
    lines = [
        f"2026-01-05 12:00:01,250 fedpeft.gateway INFO {TAKEN}",
        "2026-01-05 12:00:01,300 fedpeft.gateway WARNING a message of an unknown app bundle was refused",
        f"2026-01-05 12:00:02,250 fedpeft.gateway INFO {GIVEN}",
    ]
    journal = [
        event("", 1, decision="released", kind="train") | {"round": 3},
        event("", 2, decision="refused", kind="train") | {"round": 4},
        event("", 3, decision="released", kind="evaluate") | {"round": 5},
    ]
    found = site_log("\n".join(lines), journal)
    assert found == SiteLog([moment.timestamp()], [moment.timestamp() + 1], {3: BEGIN + 1})
