"""The round protocol as a whole: results worked out by hand, resumption, lateness, quorum."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from common.errors import ParticipationError
from common.protocol import RoundPlan
from common.state import AdapterSchema, AdapterState, digest_state
from server import checkpoint
from server.aggregation import Claim, ClientUpdate, Mean, Memory
from server.closing import Outcome
from server.events import Event, RoundFinished, RoundStarted, RunFinished, RunStopped, SiteAnswered
from server.mean import moved, weighted_mean
from server.state import ServerState

MakeLab = Callable[..., Any]


@dataclass(frozen=True)
class Momentum:
    """A strategy that remembers: heavy ball on the mean update, all tensors in odd rounds, the bias in even ones."""

    needs_individual_updates: ClassVar[bool] = False
    needs_lora: ClassVar[bool] = False
    claims: ClassVar[frozenset[Claim]] = frozenset()
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"

    def plan(self, round_number: int, memory: Memory, site: str, shared: AdapterSchema) -> RoundPlan:
        return RoundPlan() if round_number % 2 else RoundPlan(active=("b.bias",))

    def combine(self, updates: Iterable[ClientUpdate], state: AdapterState) -> Mean:
        return weighted_mean(updates)

    def step(self, state: AdapterState, mean: Mean, memory: Memory) -> tuple[AdapterState, Memory]:
        speed = {name: 0.5 * memory.get(name, 0.0) + update for name, update in mean.update.items()}
        return moved(state, speed), {**memory, **speed}


def result(outcome: Outcome) -> dict[str, Any]:
    """Everything that must not depend on how a run came to its end."""
    rounds = [{k: v for k, v in r.items() if k != "seconds"} for r in outcome.rounds]
    return {
        "adapter": digest_state(outcome.adapter),
        "memory": digest_state(outcome.state.memory),
        "kept": outcome.kept_round,
        "rounds": rounds,
        "initial": outcome.initial,
        "test": {site: e.scores for site, e in outcome.test.items()},
        "examples": outcome.state.examples,
    }


def test_rounds_are_the_weighted_mean_worked_out_by_hand(lab: MakeLab) -> None:
    made = lab(4)
    outcome = made.run()
    # Site i = 1..4 goes half of the way to its target i and has 10 i examples: x' = x + (m - x) / 2 with
    # m = sum(10 i * i) / sum(10 i) = 300 / 100 = 3.
    expected = {"a.weight": 0.0, "b.bias": 1.0}
    for _ in range(3):
        expected = {name: x + (3.0 - x) / 2 for name, x in expected.items()}
    for name, value in expected.items():
        np.testing.assert_allclose(outcome.adapter[name], value, rtol=1e-6)
    assert set(outcome.adapter) == set(expected)  # the private head never came here


def test_uniform_weights_count_sites_and_not_examples(lab: MakeLab) -> None:
    adapter = lab(4).run(weighting="uniform", rounds=1).adapter
    np.testing.assert_allclose(adapter["a.weight"], 2.5 / 2, rtol=1e-6)


def test_a_metric_belongs_to_the_state_that_was_evaluated(lab: MakeLab) -> None:
    outcome = lab(2).run(rounds=2)
    # The fake's log loss is its distance |target - x| summed over 6 + 4 elements. Sites: targets 1, 2; m = 5/3.
    a, b, losses = 0.0, 1.0, []
    for _ in range(3):
        losses.append([6 * abs(t - a) + 4 * abs(t - b) for t in (1.0, 2.0)])
        a, b = a + (5 / 3 - a) / 2, b + (5 / 3 - b) / 2
    records = [outcome.initial, *(r["validation"] for r in outcome.rounds)]
    for record, expected in zip(records, losses, strict=True):
        assert record is not None
        found = [record["sites"][site]["log_loss"]["value"] for site in ("site-a", "site-b")]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(record["pooled"]["log_loss"]["value"], np.mean(expected), rtol=1e-5)


def test_a_record_has_what_results_json_promises(lab: MakeLab) -> None:
    outcome = lab(2).run(rounds=1)
    (record,) = outcome.rounds
    assert set(record) == {"round", "seconds", "participation", "train", "validation", "diagnostics"}
    assert set(record["seconds"]) == {"total", "train", "evaluate", "aggregate", "diagnose"}
    assert record["seconds"]["train"] == 1.0  # two sites of 0.5 s
    entry = record["participation"]["site-a"]
    assert (entry["status"], entry["examples"]) == ("accepted", 10)
    assert 10 * 4 < entry["bytes_up"] < 1000
    assert 10 * 4 < entry["bytes_down"] < 1000
    # From zeros and ones half of the way to 1 resp. 2: |(0.5,) * 6|, and |(1,) * 6 + (0.5,) * 4|.
    norms = record["diagnostics"]["update_norms"]
    np.testing.assert_allclose([norms["site-a"], norms["site-b"]], [np.sqrt(6 * 0.25), np.sqrt(6 + 4 * 0.25)])
    np.testing.assert_allclose(record["diagnostics"]["aggregated_norm"], np.sqrt(6 * (5 / 6) ** 2 + 4 * (1 / 3) ** 2))
    json.dumps([record, outcome.initial, outcome.participation], allow_nan=False)


@pytest.mark.parametrize("changes", [{}, {"fraction": 0.5}, {"strategy": Momentum(), "keep": "best"}])
def test_neither_the_order_of_arrival_nor_how_sites_are_found_changes_a_byte(
    lab: MakeLab, changes: dict[str, Any]
) -> None:
    first, second, third = lab(4, folder="a"), lab(4, folder="b"), lab(4, folder="c")
    second.reverse, third.named = True, False
    expected = result(first.run(**changes))
    assert result(second.run(**changes)) == expected
    assert result(third.run(**changes)) == expected


class Stop(Exception):
    """What ends a run from outside, as Ctrl-C does."""


def stopping(at: Callable[[Event], bool]) -> Callable[[Event], None]:
    def progress(event: Event) -> None:
        if at(event):
            raise Stop

    return progress


def resumed(made: Any, changes: dict[str, Any]) -> Outcome:
    state: ServerState = checkpoint.read(made.folder / "checkpoint", study=made.job().study, seed=made.job().seed)
    outcome: Outcome = made.run(state, **changes)
    return outcome


MOMENTS: dict[str, Callable[[int], Callable[[Event], bool]]] = {
    "at the start of round": lambda t: lambda e: isinstance(e, RoundStarted) and e.round == t,
    "amid round": lambda t: lambda e: isinstance(e, SiteAnswered) and e.round == t,
    "after round": lambda t: lambda e: isinstance(e, RoundFinished) and e.round == t,
}


@pytest.mark.parametrize("changes", [{}, {"strategy": Momentum(), "fraction": 0.5, "keep": "best"}])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_stopped_anywhere_ends_as_one_that_was_not(lab: MakeLab, moment: str, changes: dict[str, Any]) -> None:
    expected = result(lab(4, folder="whole").run(**changes))
    last = {"after round": 3}.get(moment, 4)
    for number in range(1, last + 1):
        made = lab(4, folder=f"cut-{number}")
        with pytest.raises(Stop):
            made.run(progress=stopping(MOMENTS[moment](number)), **changes)
        assert result(resumed(made, changes)) == expected


def test_a_run_stopped_after_every_round_in_turn_ends_as_one_that_was_not(lab: MakeLab) -> None:
    changes = {"strategy": Momentum(), "rounds": 4}
    expected = result(lab(3, folder="whole").run(**changes))
    made = lab(3)
    state: ServerState = made.start()
    for number in range(1, 5):
        with pytest.raises(Stop):
            made.run(state, progress=stopping(MOMENTS["after round"](number)), **changes)
        state = checkpoint.read(made.folder / "checkpoint", study=state.study, seed=7)
        assert state.round == number
    assert result(made.run(state, **changes)) == expected


def test_a_late_site_is_left_alone_until_it_answered(lab: MakeLab) -> None:
    made = lab(4)
    # Round 2 is answered after 15 s, with a deadline of 10 s: it closes without it, and as the answer is taken in while
    # site-d is still at round 3 (10 to 20 s), site-b is asked again in that round.
    made.delays = {"site-b": lambda number: 15.0 if number == 2 else 0.0, "site-d": lambda number: 10.0}
    outcome = made.run(rounds=5, deadline_s=10.5)
    entries = [r["participation"]["site-b"] for r in outcome.rounds]
    assert [e["status"] for e in entries] == ["accepted", "late", "accepted", "accepted", "accepted"]
    assert entries[1]["reason"] == "no answer in time"
    assert [r.round for r in made.sites["site-b"].asked] == [1, 2, 3, 4, 5, 6]
    assert all(r["participation"]["site-d"]["status"] == "accepted" for r in outcome.rounds)
    assert "site-b" not in outcome.rounds[1]["diagnostics"]["update_norms"]


def test_without_quorum_sites_are_asked_three_times_and_the_run_stops_with_a_checkpoint(lab: MakeLab) -> None:
    made = lab(4)
    for name in ("site-b", "site-c", "site-d"):
        made.sites[name].change = lambda reply, request: (
            replace(reply, examples=10**12) if request.round == 2 else reply
        )
    with pytest.raises(ParticipationError, match=r"round 2: 1 of 4 sites .* 2 are needed: site-b refused .*resume"):
        made.run()
    assert [r.round for r in made.sites["site-b"].asked] == [1, 2, 2, 2]
    assert len({r.digest for r in made.sites["site-b"].asked[1:]}) == 1
    assert [r.round for r in made.sites["site-a"].asked] == [1, 2]  # its reply counted: it is not asked again
    assert isinstance(made.events[-1], RunStopped)
    for site in made.sites.values():
        site.change = lambda reply, request: reply
    assert result(resumed(made, {})) == result(lab(4, folder="whole").run())


def test_asking_again_can_make_the_quorum_and_then_counts_the_late_answer(lab: MakeLab) -> None:
    made = lab(2)
    made.delays = {"site-b": lambda number: 15.0 if number == 1 else 0.0}
    outcome = made.run(quorum=1.0, deadline_s=10.0, rounds=1)
    assert outcome.rounds[0]["participation"]["site-b"]["status"] == "accepted"
    assert [r.round for r in made.sites["site-b"].asked] == [1, 2]
    assert made.time.seconds < 20.0


def test_a_message_that_was_lost_is_sent_again_and_its_answer_counts_once(lab: MakeLab) -> None:
    made, never = lab(2), iter([1e9])
    made.delays = {"site-b": lambda number: next(never, 0.0)}
    outcome = made.run(quorum=1.0, deadline_s=10.0)
    assert outcome.rounds[0]["participation"]["site-b"]["status"] == "accepted"
    assert result(outcome)["adapter"] == result(lab(2, folder="whole").run())["adapter"]
    assert [(e.round, e.site) for e in made.events if isinstance(e, SiteAnswered)].count((1, "site-b")) == 1


def test_a_site_whose_message_was_lost_takes_part_again_after_two_deadlines(lab: MakeLab) -> None:
    made, never = lab(3), iter([1e9])
    made.delays = {"site-b": lambda number: next(never, 0.0), "site-a": lambda number: 9.0}
    outcome = made.run(rounds=5, deadline_s=10.0)
    # Sent at 0 s, given up at 20 s, while site-a is at round 3: rounds begin at 0, 10, 19 (9 s each, since nobody else
    # is waited for) and 28 s.
    statuses = [r["participation"]["site-b"]["status"] for r in outcome.rounds]
    assert statuses == ["late", "late", "accepted", "accepted", "accepted"]


def test_a_site_that_never_answers_is_waited_for_three_times(lab: MakeLab) -> None:
    made = lab(2)
    made.delays = {"site-b": lambda number: 1e9}
    with pytest.raises(ParticipationError, match=r"site-b late \(no answer in time\)"):
        made.run(quorum=1.0, deadline_s=10.0)
    assert 30.0 <= made.time.seconds < 35.0
    assert made.sites["site-b"].asked == []


def test_a_site_that_is_not_there_is_absent_and_the_others_go_on(lab: MakeLab) -> None:
    made = lab(3)
    outcome = made.run(sites=("site-a", "site-b", "site-c", "site-z"), connect_s=5.0)
    for record in outcome.rounds:
        entry = record["participation"]["site-z"]
        assert (entry["status"], entry["reason"], entry["bytes_down"]) == ("absent", "not connected", 0)
    assert made.time.seconds >= 5.0
    with pytest.raises(ParticipationError, match="0 of 1"):
        lab(1, folder="empty").run(sites=("site-z",), connect_s=1.0, fraction=1.0)


def test_only_the_cohort_is_asked(lab: MakeLab) -> None:
    made = lab(4)
    outcome = made.run(fraction=0.5, rounds=6)
    for number, record in enumerate(outcome.rounds, 1):
        asked = {name for name, site in made.sites.items() if any(r.round == number for r in site.asked)}
        assert asked == set(record["participation"])
        assert len(asked) == 2
    assert set(outcome.test) == set(made.sites)


def test_the_best_round_is_kept_and_scored_on_test_rows_once(lab: MakeLab) -> None:
    made = lab(1)
    # One site with target 1 that overshoots in round 3: its log loss falls, then rises.
    site = made.sites["site-a"]
    site.change = lambda reply, request: (
        replace(reply, update={n: a + np.float32(9) for n, a in reply.update.items()}) if request.round == 3 else reply
    )
    outcome = made.run(keep="best")
    assert outcome.kept_round == 2
    assert digest_state(outcome.adapter) != digest_state(outcome.state.shared)
    tests = [r for r in site.asked if "test" in r.splits]
    assert len(tests) == 1
    assert digest_state(tests[0].shared) == digest_state(outcome.adapter)
    assert [r.round for r in site.asked] == [1, 2, 3, 4, 5]


def test_the_last_round_is_kept_with_one_closing_message(lab: MakeLab) -> None:
    made = lab(2)
    outcome = made.run(keep="last")
    site = made.sites["site-a"]
    assert [r.splits for r in site.asked] == [("validation",)] * 3 + [("validation", "test")]
    assert [r.kind for r in site.asked] == ["train"] * 3 + ["evaluate"]
    assert digest_state(site.asked[-1].shared) == digest_state(outcome.adapter) == digest_state(outcome.state.shared)
    assert isinstance(made.events[-1], RunFinished)


def test_nothing_is_left_behind_but_checkpoint_and_events(lab: MakeLab) -> None:
    made = lab(2)
    made.run()
    assert {p.name for p in made.folder.iterdir()} == {"checkpoint", "events.jsonl"}
    names = [json.loads(line)["event"] for line in (made.folder / "events.jsonl").read_text().splitlines()]
    one_round = ["round_started", "reply", "reply", "round_finished"]
    assert names == ["run_started", *one_round * 3, "round_started", "reply", "reply", "run_finished"]


def test_a_thousand_sites(lab: MakeLab) -> None:
    made = lab(1000)
    outcome = made.run(rounds=1)
    assert sum(e["status"] == "accepted" for e in outcome.rounds[0]["participation"].values()) == 1000
    # m = sum(i * i) / sum(i) = (2 * 1000 + 1) / 3 = 667; half of the way from 0.
    np.testing.assert_allclose(outcome.adapter["a.weight"], 667 / 2, rtol=1e-6)
