"""A clock that is too far from the coordinator's is told; whatever a slow line or a whole second explains is not."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.clock import AHEAD, BEHIND, clock_error

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECONDS = st.floats(0, 5).map(lambda seconds: timedelta(seconds=seconds))


def seen(offset: timedelta, *, there: timedelta = timedelta(0), back: timedelta = timedelta(0)) -> str | None:
    """Return what is told by a clock that is `offset` ahead, where the ways there and back take a while."""
    date = format_datetime(NOON.replace(microsecond=0), usegmt=True)
    return clock_error(date, NOON - there + offset, NOON + back + offset)


@given(st.floats(-BEHIND.total_seconds(), AHEAD.total_seconds()), SECONDS, SECONDS)
def test_a_clock_that_is_let_in_is_never_told_of(offset: float, there: timedelta, back: timedelta) -> None:
    assert seen(timedelta(seconds=offset), there=there, back=back) is None


@pytest.mark.parametrize(
    ("offset", "text"),
    [
        (timedelta(minutes=10), "10 min ahead of"),
        (timedelta(minutes=-10), "10 min behind"),
        (timedelta(seconds=8), "8 s ahead of"),
        (timedelta(days=400), "400 days ahead of"),
    ],
)
def test_another_is(offset: timedelta, text: str) -> None:
    said = seen(offset) or ""
    assert f"this machine's clock is {text} the coordinator's" in said
    assert "2026-11-25 12:00:00 UTC there" in said


@pytest.mark.parametrize("date", [None, "", "yesterday", "Wed, 99 Nov 2026 12:00:00 GMT", "Wed, 25 Nov 2026 12:00:00"])
def test_without_a_time_nothing_is_known(date: str | None) -> None:
    assert clock_error(date, NOON + timedelta(days=1), NOON + timedelta(days=1)) is None
