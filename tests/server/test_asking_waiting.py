"""How long a round waits for sites that cannot be asked: a deadline where the quorum needs them, else a short grace."""

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from client.app import make_app
from common.errors import ParticipationError
from common.failures import failure_reply
from common.state import digest_state
from server.events import SitesAwaited

MakeLab = Callable[..., Any]


def told(made: Any) -> list[tuple[int, dict[str, str], str]]:
    """Round, reasons and the end of the waiting, as the time of that day, of each event."""
    return [(e.round, dict(e.reasons), e.until[11:19]) for e in made.events if isinstance(e, SitesAwaited)]


def statuses(outcome: Any, site: str) -> list[str]:
    return [r["participation"][site]["status"] for r in outcome.rounds]


def test_a_site_that_the_quorum_needs_is_waited_for_until_it_is_back(lab: MakeLab) -> None:
    made = lab(3)
    made.away = {"site-b": (0.1, 70.0)}
    made.delays = {"site-a": lambda number: 1.0}
    outcome = made.run(quorum=1.0, deadline_s=100.0, rounds=3)
    assert [{s["status"] for s in r["participation"].values()} for r in outcome.rounds] == [{"accepted"}] * 3
    assert 70.0 <= made.time.seconds < 85.0
    # Round 2 begins after 1 s, at 10:00:01, and may wait for 100 s.
    assert told(made) == [(2, {"site-b": "the transport does not know it"}, "10:01:41")]
    assert digest_state(outcome.adapter) == digest_state(lab(3, folder="whole").run().adapter)


def test_a_site_that_does_not_come_back_is_waited_for_one_deadline(lab: MakeLab) -> None:
    made = lab(2)
    made.away = {"site-b": (0.1, 1e9)}
    made.delays = {"site-a": lambda number: 1.0}
    with pytest.raises(ParticipationError, match=r"site-b absent \(the transport does not know it\)"):
        made.run(quorum=1.0, deadline_s=100.0)
    assert 100.0 <= made.time.seconds < 130.0


def test_a_site_that_was_never_there_is_waited_for_too(lab: MakeLab) -> None:
    made = lab(2)
    made.away = {"site-b": (0.0, 40.0)}
    outcome = made.run(quorum=1.0, deadline_s=100.0, connect_s=5.0, rounds=1)
    assert statuses(outcome, "site-b") == ["accepted"]
    assert [(number, reasons) for number, reasons, _ in told(made)] == [(1, {"site-b": "not connected"})]


def test_a_site_that_is_back_is_asked_while_others_are_at_work(lab: MakeLab) -> None:
    made = lab(3)
    made.away = {"site-b": (0.1, 20.0)}
    made.delays = {"site-c": lambda number: 30.0}
    outcome = made.run(quorum=0.3, deadline_s=100.0, rounds=2)
    assert statuses(outcome, "site-b") == ["accepted", "accepted"]
    assert told(made) == []


def test_with_the_quorum_there_an_absent_site_gets_a_tenth_of_the_deadline(lab: MakeLab) -> None:
    made = lab(3)
    made.away = {"site-b": (0.1, 12.0)}
    made.delays = {"site-a": lambda number: 1.0}
    outcome = made.run(quorum=0.5, deadline_s=100.0, rounds=3)
    # Round 2 begins at 1 s and closes after its grace of 10 s; round 3 begins without the site, which is back at 12 s.
    assert statuses(outcome, "site-b") == ["accepted", "absent", "accepted"]
    assert next((number, until) for number, _, until in told(made)) == (2, "10:00:11")
    assert made.time.seconds < 20.0


def test_the_grace_is_15_s_at_most_and_counts_from_the_start_of_the_round(lab: MakeLab) -> None:
    made = lab(3)
    made.away = {"site-b": (0.1, 1e9)}
    made.delays = {"site-a": lambda number: 50.0 if number == 2 else 1.0}
    outcome = made.run(quorum=0.5, deadline_s=3600.0, rounds=2)
    assert statuses(outcome, "site-b") == ["accepted", "absent"]
    # Round 1 takes 1 s; round 2 50 s, while others work; the closing message waits for 15 s.
    assert 66.0 <= made.time.seconds < 71.0


def test_a_site_at_an_earlier_round_is_asked_once_it_is_free_where_the_quorum_needs_it(lab: MakeLab) -> None:
    made = lab(2)
    made.delays = {"site-b": lambda number: 130.0 if number == 1 else 0.0}
    outcome = made.run(quorum=0.5, deadline_s=100.0, rounds=1, fraction=1.0)
    assert statuses(outcome, "site-b") == ["late"]
    # The closing message is asked at 100 s: within the grace of 10 s the site is not free, and half of them suffice.
    assert 110.0 <= made.time.seconds < 115.0
    assert told(made) == [(2, {"site-b": "still at an earlier round"}, "10:01:50")]


def failing_app(made: Any, site: str, failure: Callable[[Message], Message], until: float) -> ClientApp:
    """The honest app, but for one site whose round 2 fails before the second `until`."""
    honest, app = make_app(made.site_of), ClientApp()

    def train(message: Message, context: Context) -> Message:
        is_failing = made.site_of(context).name == site and made.time.seconds < until
        return failure(message) if is_failing and message.metadata.group_id == "2" else honest(message, context)

    app.train()(train)
    app.evaluate()(honest)
    app.query()(honest)
    return app


FAILURES: dict[str, Callable[[Message], Message]] = {
    "SITE_UNAVAILABLE": lambda m: Message(Error(code=5, reason="Node Unavailable"), reply_to=m),
    "TRAINER_UNAVAILABLE": lambda m: failure_reply("TRAINER_UNAVAILABLE", m),
    "BUSY": lambda m: failure_reply("BUSY", m),
}


@pytest.mark.parametrize("word", FAILURES)
def test_a_failure_that_passes_is_waited_out_where_the_quorum_needs_the_site(lab: MakeLab, word: str) -> None:
    made = lab(2)
    made.app = failing_app(made, "site-b", FAILURES[word], until=75.0)
    outcome = made.run(quorum=1.0, deadline_s=100.0, rounds=3)
    assert statuses(outcome, "site-b") == ["accepted"] * 3
    assert 75.0 <= made.time.seconds < 90.0
    assert [(number, reasons) for number, reasons, _ in told(made)] == [(2, {"site-b": word})]
    asked = [request.round for request in made.sites["site-b"].asked]
    assert asked == [1, 2, 3, 4], "the site itself is asked once"


def test_a_failure_that_passes_is_not_waited_for_once_the_quorum_is_there(lab: MakeLab) -> None:
    made = lab(2)
    made.app = failing_app(made, "site-b", FAILURES["BUSY"], until=75.0)
    outcome = made.run(quorum=0.5, deadline_s=100.0, rounds=3)
    assert statuses(outcome, "site-b") == ["accepted", "failed", "accepted"]
    assert made.time.seconds < 1.0
    assert told(made) == []


def test_any_other_failure_is_asked_about_three_times_as_before(lab: MakeLab) -> None:
    made = lab(2)
    made.app = failing_app(made, "site-b", lambda m: failure_reply("TRAINING_FAILED", m), until=1e9)
    with pytest.raises(ParticipationError, match=r"site-b failed \(TRAINING_FAILED\)"):
        made.run(quorum=1.0, deadline_s=100.0, rounds=3)
    assert 20.0 <= made.time.seconds < 21.0


def test_without_a_deadline_nobody_is_waited_for(lab: MakeLab) -> None:
    made = lab(2)
    made.away = {"site-b": (0.0, 40.0)}
    with pytest.raises(ParticipationError, match="site-b absent"):
        made.run(quorum=1.0, deadline_s=None, rounds=1)
    assert made.time.seconds == 0.0
