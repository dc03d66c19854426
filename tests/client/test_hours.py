from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.hours import DAYS, is_open, parse_span

MONDAY = datetime(2026, 11, 23)
WEEK = 7 * 24 * 60
MINUTES = st.integers(min_value=0, max_value=WEEK - 1)


def at(minute_of_week: int) -> datetime:
    return MONDAY + timedelta(minutes=minute_of_week)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(0, 1440),
    MINUTES,
)
def test_a_span_is_on_from_its_start_for_its_length(days: set[int], start: int, end: int, now: int) -> None:
    """Oracle: lay each day's span out on the minutes of the week, which is a ring."""
    if start == end:
        return
    length = (end - start) if end > start else 1440 - start + end
    on = {(day * 1440 + start + i) % WEEK for day in days for i in range(length)}
    text = f"{','.join(DAYS[day] for day in sorted(days))} {clock(start)}-{clock(end)}"
    assert is_open([text], at(now)) == (now in on)


def test_days_may_go_round_the_week() -> None:
    assert parse_span("Fr-Mo 08:00-09:00").days == {4, 5, 6, 0}
    assert parse_span("Mo-Su 08:00-09:00").days == set(range(7))
    assert parse_span("Mo-Tu,Su 08:00-09:00").days == {0, 1, 6}


@given(MINUTES)
def test_any_of_several_spans_will_do_and_none_is_always(now: int) -> None:
    spans = ["Mo-Fr 20:00-06:00", "Sa,Su 00:00-24:00"]
    assert is_open(spans, at(now)) == any(is_open([span], at(now)) for span in spans)
    assert is_open([], at(now))


@pytest.mark.parametrize(
    "text",
    [
        "Mo-Fr",
        "20:00-06:00",
        "Xx 20:00-06:00",
        "Mo- 20:00-06:00",
        "mo 20:00-06:00",
        "Mo 24:00-06:00",
        "Mo 20:60-22:00",
        "Mo 20:00-24:01",
        "Mo 20:00-20:00",
        "Mo 8:00-9:00",
    ],
)
def test_what_is_no_time_of_work_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected days and a span"):
        parse_span(text)
