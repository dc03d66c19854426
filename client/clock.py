"""Whether this machine's clock goes with the coordinator's: a SuperNode signs each request with the time.

A SuperLink of Flower 1.41 refuses times that are more than 5 s ahead of its own or 305 s behind, and says only 401.
"""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

AHEAD = timedelta(seconds=5)
BEHIND = timedelta(seconds=305)
_GRAIN = timedelta(seconds=1)
"""Of the header `date`."""


def clock_error(date: str | None, asked: datetime, answered: datetime) -> str | None:
    """Return what is wrong with this machine's clock, or None where it is right or nothing can be known.

    Args:
        date: the header of an answer, when the coordinator gave it.
        asked, answered: this machine's own time before and after, with a time zone; a slow line is no wrong clock.
    """
    there = _moment(date)
    if there is None:
        return None
    if asked - (there + _GRAIN) > AHEAD:
        return _text(asked - there, "ahead of", there)
    if there - answered > BEHIND:
        return _text(there - answered, "behind", there)
    return None


def _moment(date: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _text(by: timedelta, word: str, there: datetime) -> str:
    return (
        f"this machine's clock is {_size(by)} {word} the coordinator's ({there:%Y-%m-%d %H:%M:%S} UTC there): each "
        "request is signed with the time, and refused from 5 s ahead or 5 min behind. Set this clock (NTP), and start "
        "the site again; if it is right, tell the coordinator"
    )


def _size(by: timedelta) -> str:
    """Return a length of time in its largest unit.

    >>> _size(timedelta(seconds=601))
    '10 min'
    """
    seconds = round(by.total_seconds())
    for unit, name in ((24 * 3600, "days"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{round(seconds / unit)} {name}"
    return f"{seconds} s"
