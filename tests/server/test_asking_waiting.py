"""How long a round waits for sites that are away: as long as one deadline, and only where the quorum needs them."""

from collections.abc import Callable
from typing import Any

import pytest

from common.errors import ParticipationError
from common.state import digest_state
from server.events import SitesAwaited

MakeLab = Callable[..., Any]


def test_a_site_that_the_quorum_needs_is_waited_for_until_it_is_back(lab: MakeLab) -> None:
    made = lab(3)
    made.away = {"site-b": (0.1, 70.0)}
    made.delays = {"site-a": lambda number: 1.0}
    outcome = made.run(quorum=1.0, deadline_s=100.0, rounds=3)
    assert [{s["status"] for s in r["participation"].values()} for r in outcome.rounds] == [{"accepted"}] * 3
    assert 70.0 <= made.time.seconds < 85.0
    assert [(e.round, e.sites) for e in made.events if isinstance(e, SitesAwaited)] == [(2, ("site-b",))]
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
    assert outcome.rounds[0]["participation"]["site-b"]["status"] == "accepted"
    assert [(e.round, e.sites) for e in made.events if isinstance(e, SitesAwaited)] == [(1, ("site-b",))]


def test_a_site_that_is_back_is_asked_while_others_are_at_work(lab: MakeLab) -> None:
    made = lab(3)
    made.away = {"site-b": (0.1, 20.0)}
    made.delays = {"site-c": lambda number: 30.0}
    outcome = made.run(quorum=0.3, deadline_s=100.0, rounds=2)
    assert [r["participation"]["site-b"]["status"] for r in outcome.rounds] == ["accepted", "accepted"]


def test_with_the_quorum_there_nobody_is_waited_for(lab: MakeLab) -> None:
    made = lab(3)
    made.away = {"site-b": (0.1, 1e9)}
    made.delays = {"site-a": lambda number: 1.0}
    outcome = made.run(quorum=0.5, deadline_s=100.0, rounds=3)
    assert [r["participation"]["site-b"]["status"] for r in outcome.rounds] == ["accepted", "absent", "absent"]
    assert made.time.seconds < 10.0
    assert not [e for e in made.events if isinstance(e, SitesAwaited)]
