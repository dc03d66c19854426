"""The server over sites that are late, away or failing: its own rounds and deadlines, and no second is slept."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import ParticipationError
from common.state import digest_state
from common.study import Study
from server.closing import Outcome
from server.events import ignore
from server.exchange import Clock, Exchange
from simulations import stages
from simulations.availability import Availability, SiteTime
from simulations.engine.plan import Wanted
from simulations.folder import RunFolder
from simulations.virtual_time import VirtualTime, virtual_runtime

ROUNDS = 3


def play(study: Study, folder: Path, **keys: object) -> Outcome:
    model = Availability.model_validate({"deadline_s": 100.0, "work_s": 40.0, **keys})
    sites = stages.start(study, RunFolder(folder), threads=1, device="cpu")
    return stages.play(sites, runtime=virtual_runtime(model), progress=ignore)


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study(f"federation.rounds={ROUNDS}", "training.local_epochs=1")


def statuses(outcome: Outcome) -> list[dict[str, str]]:
    return [{site: share["status"] for site, share in r["participation"].items()} for r in outcome.rounds]


def seconds(outcome: Outcome) -> list[float]:
    return [round(record["seconds"]["total"], 6) for record in outcome.rounds]


def test_sites_that_are_there_give_the_adapter_of_a_run_without_time(study: Study, tmp_path: Path) -> None:
    """Of one whose sites are trained one by one, as those with a time of their own are."""
    timed = play(study, tmp_path / "timed", speed_spread=0.1)
    sites = stages.start(study, RunFolder(tmp_path / "plain"), threads=1, device="cpu", groups=Wanted(clients=1))
    plain = stages.play(sites, runtime="inprocess", progress=ignore)
    assert digest_state(timed.adapter) == digest_state(plain.adapter)


def test_a_round_lasts_as_long_as_its_slowest_site(study: Study, tmp_path: Path) -> None:
    begin = time.monotonic()
    outcome = play(study, tmp_path / "run", speed_spread=0.2)
    model = Availability(deadline_s=100.0, work_s=40.0, speed_spread=0.2)
    slowest = max(SiteTime(model, study.seed, s).work_s(1, size_bytes=0) for s in ("east", "north", "west"))
    assert seconds(outcome) == [round(slowest, 6)] * ROUNDS
    assert sum(seconds(outcome)) > 100 > 60 > time.monotonic() - begin


def test_a_straggler_is_late_and_the_round_ends_at_its_deadline(study: Study, tmp_path: Path) -> None:
    """With this spread and seed one site needs more than 100 s, the others less."""
    model = Availability(deadline_s=100.0, work_s=40.0, speed_spread=1.2)
    times = {s: SiteTime(model, study.seed, s).work_s(1, size_bytes=0) for s in ("east", "north", "west")}
    slow = {site for site, needed in times.items() if needed > 100}
    assert len(slow) == 1
    outcome = play(study, tmp_path / "run", speed_spread=1.2)
    first = statuses(outcome)[0]
    assert {site for site, status in first.items() if status == "late"} == slow
    assert seconds(outcome)[0] == 100.0


def test_a_site_that_fails_is_failed(study: Study, tmp_path: Path) -> None:
    model = Availability(deadline_s=100.0, dropout=0.3)
    for number, found in enumerate(statuses(play(study, tmp_path / "run", dropout=0.3)), start=1):
        failing = {site for site in found if SiteTime(model, study.seed, site).fails(number)}
        assert {site for site, status in found.items() if status == "failed"} == failing


def test_a_site_whose_link_is_down_all_round_long_is_absent(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study(f"federation.rounds={ROUNDS}", "training.local_epochs=1", "federation.quorum=0.3")
    found = statuses(play(study, tmp_path / "run", pattern="on-off", up_s=1e4, down_s=5e3))
    model = Availability(deadline_s=100.0, pattern="on-off", up_s=1e4, down_s=5e3)
    away = {site for site in found[0] if SiteTime(model, study.seed, site).next_up_s(0.0) > 100}
    assert {site for site, status in found[0].items() if status == "absent"} == away
    assert away


def test_the_same_seed_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    keys = {"speed_spread": 0.8, "round_spread": 0.3, "dropout": 0.2, "bytes_per_s": 1e4}
    one, two = (play(study, tmp_path / name, **keys) for name in ("one", "two"))
    assert digest_state(one.adapter) == digest_state(two.adapter)
    assert (statuses(one), seconds(one)) == (statuses(two), seconds(two))


def test_sites_that_never_answer_in_time_end_the_run(study: Study, tmp_path: Path) -> None:
    with pytest.raises(ParticipationError, match="round 1"):
        play(study, tmp_path / "run", work_s=1e6)


class Later:
    """A grid whose replies come at set times of a clock."""

    def __init__(self, clock: VirtualTime, at: list[float]) -> None:
        self.clock, self.at, self.pulls = clock, at, 0

    def get_nodes(self):
        return []

    def push_messages(self, messages):
        return [str(messages[0])]

    def pull_messages(self, message_ids):
        self.pulls += 1
        there = [i for i in message_ids if self.at[int(i)] <= self.clock.now_s]
        return [Reply(i) for i in there]

    def next_reply_s(self, message_ids):
        return min(self.at[int(i)] for i in message_ids)


class Reply:
    def __init__(self, answered: str) -> None:
        self.metadata = self
        self.reply_to_message_id = answered


def test_an_exchange_goes_on_to_the_next_reply_and_never_beyond_its_deadline() -> None:
    clock = VirtualTime()
    grid = Later(clock, [30.0, 7.0, 500.0])
    exchange = Exchange(grid, Clock(lambda: clock.now_s, clock.wait))
    for number, site in enumerate("abc"):
        exchange.push(site, 1, number)
    assert [(a.site, a.seconds) for a in exchange.collect(1, 100.0)] == [("b", 7.0), ("a", 30.0)]
    assert clock.now_s == 100.0
    assert exchange.waiting(1) == {"c"}
    assert grid.pulls == 6  # at 0, 7 and 30, there twice, since more may have come, and at 100
