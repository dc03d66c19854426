"""Numbers and lists as words: pure functions from values to text."""

import math
from collections.abc import Sequence

from server.report.values import Estimate

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def plain(value: float | None, digits: int = 3) -> str:
    """Return `value` with a fixed number of decimals, a dash for None.

    >>> plain(0.87649), plain(None) == DASH
    ('0.876', True)
    """
    return DASH if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """Return a difference with its sign; one that would round to zero keeps its first digit.

    >>> signed(0.0421), signed(0.0002), signed(0.0)
    ('+0.042', '+0.0002', '0.000')
    """
    if value is None:
        return DASH
    if value == 0:
        return "0.000"
    text = f"{value:+.3f}"
    if float(text) == 0:
        text = f"{value:+.{min(12, -math.floor(math.log10(abs(value))))}f}"
    return text.replace("-", MINUS)


def interval(estimate: Estimate) -> str:
    """Return `0.801 to 0.932`, empty where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{plain(estimate.low)} to {plain(estimate.high)}"


def signed_interval(estimate: Estimate) -> str:
    """Return `+0.010 to +0.075`, empty where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{signed(estimate.low)} to {signed(estimate.high)}"


def count(value: float | None) -> str:
    """Return a whole number with thousands separators.

    >>> count(115970)
    '115,970'
    """
    return DASH if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Return bytes in decimal units, two or three significant digits.

    >>> size(463880), size(90900000), size(312)
    ('464 kB', '90.9 MB', '312 B')
    """
    if value is None:
        return DASH
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale * 0.9995:
            scaled = value / scale
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float | None) -> str:
    """Return a duration in the units a reader would choose.

    >>> duration(0.0042), duration(0.25), duration(12.34), duration(75), duration(7384)
    ('4.2 ms', '250 ms', '12.3 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds is None:
        return DASH
    if seconds < 0.9995:
        return f"{seconds * 1000:.{1 if seconds < 0.0995 else 0}f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def percent(fraction: float | None) -> str:
    """Return a fraction in percent, two significant digits below ten.

    >>> percent(0.00511), percent(0.5), percent(1.0)
    ('0.51 %', '50 %', '100 %')
    """
    if fraction is None:
        return DASH
    scaled = fraction * 100
    if scaled == 0 or scaled >= 10:
        return f"{scaled:.0f} %"
    return f"{scaled:.{max(1, 1 - math.floor(math.log10(abs(scaled))))}f} %"


def joined(parts: Sequence[str], *, separator: str = ",") -> str:
    """Return parts as a list in a sentence.

    >>> joined(["a", "b", "c"]), joined(["a"])
    ('a, b and c', 'a')
    """
    return f"{f'{separator} '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def counted(number: int, noun: str) -> str:
    """Return `1 round`, `8 rounds`.

    >>> counted(1, "round"), counted(8, "round")
    ('1 round', '8 rounds')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def worded(reason: str) -> str:
    """Return a reason as words: codes such as TRAINING_FAILED lose their capitals, sentences stay.

    >>> worded("TRAINING_FAILED"), worded("norm 12.1 is above the bound 5")
    ('training failed', 'norm 12.1 is above the bound 5')
    """
    return reason.replace("_", " ").lower() if reason.isupper() else reason
