from dataclasses import dataclass, field, replace

from client.journal import Entry
from client.limited_log import LAST_REASON, LIMIT, WINDOW_S, LimitedLog

REFUSED = Entry("refused", "east", "sha256:s", "r", 1, "train", "PAUSED", 0, 0, None, [], [], None)
RELEASED = replace(REFUSED, decision="released", reason=None)


@dataclass
class Lines:
    entries: list[Entry] = field(default_factory=list)

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)


@dataclass
class Clock:
    now: float = 5.0

    def __call__(self) -> float:
        return self.now


def test_refusals_are_written_up_to_the_limit_then_one_line_says_so() -> None:
    lines, clock = Lines(), Clock()
    log = LimitedLog(lines, clock)
    for _ in range(3 * LIMIT):
        log.append(REFUSED)
    assert lines.entries == [*[REFUSED] * LIMIT, replace(REFUSED, reason=LAST_REASON)]
    clock.now += WINDOW_S - 1
    log.append(REFUSED)
    assert len(lines.entries) == LIMIT + 1
    clock.now += 1
    log.append(REFUSED)
    assert lines.entries[-1] == REFUSED
    assert len(lines.entries) == LIMIT + 2


def test_the_same_answer_asked_for_without_end_does_not_fill_the_disk() -> None:
    lines, repeated = Lines(), replace(RELEASED, decision="repeated")
    log = LimitedLog(lines, Clock())
    for _ in range(3 * LIMIT):
        log.append(repeated)
    assert lines.entries == [*[repeated] * LIMIT, replace(repeated, reason=LAST_REASON)]
    log.append(REFUSED)
    assert lines.entries[-1] == REFUSED


def test_what_is_released_is_always_written() -> None:
    lines = Lines()
    log = LimitedLog(lines, Clock())
    for _ in range(2 * LIMIT):
        log.append(REFUSED)
        log.append(RELEASED)
    assert lines.entries.count(RELEASED) == 2 * LIMIT
