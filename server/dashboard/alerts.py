"""What a coordinator should look at, told from a run's rounds by fixed rules. Each says its own threshold.

An alert is a hint: none stops a run, and none proves that something is wrong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import Any, Final, Literal

from server.dashboard.scores import POOLED
from server.dashboard.state import Record, View
from server.report.formats import counted, plain, worded
from server.report.values import find, number, section

REFUSED_IN_A_ROW: Final = 3
RISING_ROUNDS: Final = 5
"""So many rounds one after the other, each with a higher training loss than the last, are divergence."""
FAR_ABOVE_BEST: Final = 2.0
"""As many times the lowest training loss so far are divergence."""
GAP: Final = 0.2
"""Validation loss above training loss, both per row in natural logarithms."""
LOSS: Final = "log_loss"
"""The metric that is in the units of the training loss; a task without it has no gap."""
USUAL_ROUNDS: Final = 5
"""As many earlier rounds of a site are needed to say what is usual for it."""
USUAL_MADS: Final = 6.0
"""An update norm is unusual so many scaled median absolute deviations from the site's median."""
LEAST_SPREAD: Final = 0.1
"""Of the median: the deviation counts as at least that, or a run that has settled would ring at every breath."""
_MAD_TO_STD: Final = 1.4826


@dataclass(frozen=True)
class Alert:
    """What was found in which round, at a site or in all."""

    kind: Literal["refused", "divergence", "gap", "norm", "stopped", "lacking"]
    tone: Literal["bad", "warn"]
    text: str
    round: int
    site: str | None = None


def alerts(view: View) -> list[Alert]:
    """Return every alert of a run as it stands, the most pressing first."""
    records = [view.records[number] for number in sorted(view.records)]
    found = [
        *_stopped(view),
        *_lacking(view),
        *refused(records),
        *divergence([number(record, "train", "mean", "loss") for record in records]),
        *gap(view),
        *unusual_norms(records),
    ]
    return sorted(found, key=lambda alert: alert.tone)


def _stopped(view: View) -> Iterator[Alert]:
    if view.stopped is not None:
        yield Alert("stopped", "bad", view.stopped, view.done)


def _lacking(view: View) -> Iterator[Alert]:
    if view.done == 0:
        for site, lacks in view.lacking.items():
            yield Alert("lacking", "warn", f"{site} cannot take part yet: {lacks}", 0, site)


def refused(records: Sequence[Record]) -> Iterator[Alert]:
    """Yield each site whose last answers, at least three, were all refused; a round without the site does not count."""
    for site in dict.fromkeys(site for record in records for site in section(record, "participation")):
        count, reason, last = 0, None, 0
        for record in reversed(records):
            reply = section(record, "participation", site)
            if not reply:
                continue
            if reply.get("status") != "refused":
                break
            count, reason, last = count + 1, reason or reply.get("reason"), last or _round(record)
        if count >= REFUSED_IN_A_ROW:
            why = f": {worded(str(reason))}" if reason else ""
            yield Alert("refused", "bad", f"{site} was refused {count} times in a row{why}", last, site)


def divergence(losses: Sequence[float | None]) -> Iterator[Alert]:
    """Yield whether the training loss of round 1, 2, ... is not finite, far above its best, or only rises."""
    if not losses:
        return
    last, place = losses[-1], len(losses)
    known = [loss for loss in losses if loss is not None and isfinite(loss)]
    if last is None or not isfinite(last):
        if known:
            yield Alert("divergence", "bad", "the training loss is not finite, or no site said it", place)
        return
    best = min(known)
    recent = losses[-RISING_ROUNDS - 1 :]
    if best > 0 and last > FAR_ABOVE_BEST * best:
        text = f"the training loss {plain(last)} is more than {FAR_ABOVE_BEST:g} times the best so far, {plain(best)}"
        yield Alert("divergence", "bad", text, place)
    elif len(recent) > RISING_ROUNDS and _rises(recent):
        text = f"the training loss has risen {RISING_ROUNDS} rounds in a row, to {plain(last)}"
        yield Alert("divergence", "bad", text, place)


def _rises(values: Sequence[float | None]) -> bool:
    return all(a is not None and b is not None and a < b for a, b in pairwise(values))


def gap(view: View) -> Iterator[Alert]:
    """Yield a validation log loss, over all sites, more than 0.2 above the mean training loss of the same round."""
    both = sorted(view.scores.keys() & view.records.keys())
    if not both:
        return
    validation = view.scores[both[-1]].value(POOLED, LOSS)
    training = number(view.records[both[-1]], "train", "mean", "loss")
    if validation is not None and training is not None and validation - training > GAP:
        text = (
            f"the validation loss {plain(validation)} is {plain(validation - training)} above the training loss: the "
            "adapter may learn its rows by heart"
        )
        yield Alert("gap", "warn", text, both[-1])


def unusual_norms(records: Sequence[Record]) -> Iterator[Alert]:
    """Yield each site whose last update's length is outside what its own earlier rounds make usual."""
    if not records:
        return
    for site, last in section(records[-1], "diagnostics", "update_norms").items():
        earlier = [number(record, "diagnostics", "update_norms", site) for record in records[:-1]]
        bounds = usual([norm for norm in earlier if norm is not None])
        if bounds is None or not isinstance(last, int | float) or bounds[0] <= last <= bounds[1]:
            continue
        text = (
            f"the update of {site} is {plain(last)} long; usual there is {plain(bounds[0])} to {plain(bounds[1])}, by "
            f"its {counted(len(earlier), 'earlier round')}"
        )
        yield Alert("norm", "warn", text, _round(records[-1]), site)


def usual(norms: Sequence[float]) -> tuple[float, float] | None:
    """Return the usual range, median and six scaled MADs to each side; None for fewer than five.

    >>> usual([1.0, 1.1, 0.9, 1.0, 1.05])
    (0.3999999999999999, 1.6)
    """
    if len(norms) < USUAL_ROUNDS:
        return None
    middle = median(norms)
    spread = max(_MAD_TO_STD * median(abs(norm - middle) for norm in norms), LEAST_SPREAD * middle)
    return max(0.0, middle - USUAL_MADS * spread), middle + USUAL_MADS * spread


def _round(record: Record) -> int:
    found: Any = find(record, "round")
    return int(found or 0)
