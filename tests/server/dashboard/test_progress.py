from datetime import UTC, datetime

import pytest

from server.dashboard.progress import answers, progress, seconds_since
from server.dashboard.state import Asking, View
from server.events import SiteAnswered

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def played(*seconds: float) -> dict[int, dict[str, object]]:
    return {k: {"round": k, "seconds": {"total": s}} for k, s in enumerate(seconds, start=1)}


def test_the_rest_is_rounds_left_times_the_median_round() -> None:
    found = progress(View(rounds=7, records=played(10, 10, 400)), NOW)
    assert (found.done, found.round_s, found.left_s) == (3, 10, 40)


def test_what_the_round_under_way_has_taken_is_taken_off_but_never_more_than_a_round() -> None:
    asking = Asking(4, "train", ("east",), "2026-01-01T00:00:56+00:00")
    assert progress(View(rounds=7, records=played(10, 10, 10), asking=asking), NOW).left_s == 36
    slow = Asking(4, "train", ("east",), "2026-01-01T00:00:00+00:00")
    assert progress(View(rounds=7, records=played(10, 10, 10), asking=slow), NOW).left_s == 30


def test_before_the_first_round_nothing_tells() -> None:
    assert progress(View(rounds=3), NOW).left_s is None


def test_only_the_newest_rounds_count() -> None:
    assert progress(View(rounds=30, records=played(*[100.0] * 10, *[1.0] * 10)), NOW).left_s == 10


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("x", 0), ("2027-01-01T00:00:00", 0), ("2026-01-01T00:00", 60)])
def test_a_time_that_is_none_or_to_come_is_no_time_ago(text: str, seconds: float) -> None:
    assert seconds_since(text, NOW) == seconds


def test_each_asked_site_has_one_word() -> None:
    answer = SiteAnswered(1, "east", "late", None, 0, 9.0, {})
    asking = Asking(1, "train", ("east", "north", "west"), "", {"east": answer}, {"west": "not connected"})
    assert answers(View(asking=asking)) == {"east": "late", "north": "asked", "west": "awaited: not connected"}
    assert answers(View()) == {}
