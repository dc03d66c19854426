"""Following a run: every event once, none of a line that is not whole, and an end in every case."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.errors import UserError
from server.events import Event, RoundStarted, RunFinished, RunStarted, to_json
from server.exchange import Clock
from server.following import EventReader, follow
from server.run_folder import RunFolder, RunState

EVENTS: list[Event] = [RunStarted("r", ("a",), 0, 1), RoundStarted(1, 1, "train", ("a",)), RunFinished(1, 1)]


def run_in(folder: Path) -> RunFolder:
    run = RunFolder(folder / "run")
    run.path.mkdir()
    run.note(RunState("running", "1"))
    return run


def line(event: Event) -> bytes:
    return json.dumps({"time": "2026-01-01", **to_json(event)}).encode() + b"\n"


def test_events_come_once_and_in_order_however_the_file_grows(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    reader, found = EventReader(run), []
    content = b"".join(line(event) for event in EVENTS)
    assert list(reader.new()) == []
    for end in range(0, len(content) + 1, 7):
        run.events.write_bytes(content[:end])
        found += list(reader.new())
    run.events.write_bytes(content)
    found += list(reader.new())
    assert found == EVENTS


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    strange = [b"{\n", b'{"event": "moon_rises"}\n', b'{"event": "run_finished"}\n', b"[]\n", b"\xff\n", b"3\n"]
    run.events.write_bytes(b"".join(strange) + line(EVENTS[2]))
    assert list(EventReader(run).new()) == [EVENTS[2]]


@dataclass
class Story:
    """On each wait, the next thing happens to the run."""

    run: RunFolder
    acts: list[bytes | RunState]
    seconds: float = 0.0
    asked: list[float] = field(default_factory=list)
    away: tuple[float, float] = (0.0, 0.0)
    """From when to when the SuperLink does not answer."""

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        act = self.acts.pop(0)
        if isinstance(act, RunState):
            self.run.note(act)
        else:
            with self.run.events.open("ab") as file:
                file.write(act)

    def ask(self) -> RunState:
        self.asked.append(self.seconds)
        if self.away[0] <= self.seconds < self.away[1]:
            raise UserError("Connection to the SuperLink is unavailable")
        return self.run.state()

    def told(self) -> tuple[list[Event], RunState]:
        heard: list[Event] = []
        state = follow(EventReader(self.run), heard.append, self.ask, clock=Clock(lambda: self.seconds, self.wait))
        return heard, state


def test_a_run_is_followed_to_its_end_with_all_its_events(tmp_path: Path) -> None:
    story = Story(run_in(tmp_path), [line(EVENTS[0]), line(EVENTS[1]) + line(EVENTS[2]), RunState("finished", "1")])
    heard, state = story.told()
    assert (heard, state.state) == (EVENTS, "finished")


def test_the_superlink_is_asked_now_and_then_whether_the_process_lives(tmp_path: Path) -> None:
    story = Story(run_in(tmp_path), [*[b""] * 100, RunState("failed", "1", "gone")])
    _, state = story.told()
    assert state == RunState("failed", "1", "gone")
    assert len(story.asked) == 2  # 101 waits of 0.3 s; each time 10 s after the last


def test_a_superlink_that_comes_back_in_time_ends_nothing(tmp_path: Path) -> None:
    quiet = [b""] * 2500  # 750 s
    story = Story(run_in(tmp_path), [*quiet, line(EVENTS[2]), RunState("finished", "1")], away=(20.0, 290.0))
    heard, state = story.told()
    assert (heard, state.state) == ([EVENTS[2]], "finished")
    assert len(story.asked) > 60  # it goes on asking, as often as before


def test_a_superlink_that_stays_away_is_said_and_the_run_is_left(tmp_path: Path) -> None:
    story = Story(run_in(tmp_path), [b""] * 2500, away=(20.0, 1e9))
    with pytest.raises(UserError, match=r"not answered for 3\d\d s \(Connection .* run 'run' may go on.* follow"):
        story.told()
    assert 310 <= story.seconds < 330
    assert story.run.state() == RunState("running", "1")


def test_an_end_is_heard_of_while_the_superlink_is_away(tmp_path: Path) -> None:
    story = Story(run_in(tmp_path), [*[b""] * 100, RunState("finished", "1")], away=(0.0, 1e9))
    assert story.told()[1] == RunState("finished", "1")
