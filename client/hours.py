"""Hours of work: when a site answers, by its own clock on the wall.

A line is days and a span, `Mo-Fr 20:00-06:00`; a span that ends before it starts goes over midnight and belongs to the
day on which it starts, so that this one ends on Saturday at 6.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
MINUTES = 24 * 60
_FORM = re.compile(r"(\S+)\s+(\d{2}):(\d{2})-(\d{2}):(\d{2})")
_EXPECTED = "expected days and a span such as 'Mo-Fr 20:00-06:00', 'Sa,Su 00:00-24:00'"


@dataclass(frozen=True)
class Span:
    """Days of the week (0 is Monday) and minutes of the day; `end <= start` goes on to the next day."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether the span is on at this minute of this day of the week."""
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


def parse_span(text: str) -> Span:
    """Read one line. Raises ValueError.

    >>> parse_span("Sa,Su 00:00-24:00") == Span(frozenset({5, 6}), 0, 1440)
    True
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time of work; {_EXPECTED}")
    numbers = [int(part) for part in found.groups()[1:]]
    start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if not (start < MINUTES and end <= MINUTES and start != end and max(numbers[1], numbers[3]) < 60):
        raise ValueError(f"{text!r} has a time that is none, or is no time long; {_EXPECTED}")
    return Span(frozenset(day for part in found[1].split(",") for day in _days(part, text)), start, end)


def _days(part: str, text: str) -> list[int]:
    first, dash, last = part.partition("-")
    if first not in DAYS or (dash and last not in DAYS):
        raise ValueError(f"{text!r} has a day that is not one of {', '.join(DAYS)}; {_EXPECTED}")
    start = DAYS.index(first)
    length = (DAYS.index(last) - start) % 7 if dash else 0
    return [(start + i) % 7 for i in range(length + 1)]


def is_open(hours: Sequence[str], at: datetime) -> bool:
    """Whether the site works at this local time; no hours at all are all hours.

    >>> [is_open(["Mo-Fr 20:00-06:00"], datetime(2026, 11, day, 5, 59)) for day in (27, 28, 29)]  # Fr, Sa, Su
    [True, True, False]
    """
    minute = at.hour * 60 + at.minute
    return not hours or any(parse_span(text).holds(at.weekday(), minute) for text in hours)
