"""Where a round's seconds go, from the times that the server, the sites' journals and their gateways write down.

All clocks are one machine's. The stations of a message: asked by the server, sent, taken by the gateway, begun by the
trainer, released through the gate, given back by the gateway, judged by the server; then the round is folded and saved.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final  # JSON values

PARTS: Final = ("push", "delivery", "gateway_in", "gateway_out", "upload_and_pull", "fold_and_checkpoint")
TAKEN, GIVEN = "a message is taken", "its answer is given"
"""What a gateway's log says."""


@dataclass(frozen=True)
class SiteLog:
    """Seconds since 1970 at which a site's gateway took and gave back messages, and {round: when it was released}."""

    taken: Sequence[float]
    given: Sequence[float]
    released: Mapping[int, float]


@dataclass(frozen=True)
class Passage:
    """One round: its seconds on the server's clock, those of the slowest site's own work, and where the rest went."""

    seconds: float
    work: float
    parts: Mapping[str, float]
    messages: int
    """The most that one site took."""

    @property
    def overhead(self) -> float:
        """What the round took beyond the slowest site's training and evaluation."""
        return self.seconds - self.work


def passages(events: Sequence[Mapping[str, Any]], sites: Mapping[str, SiteLog]) -> list[Passage]:
    """Return the training rounds of one run; `events` are the lines of its `events.jsonl`."""
    found = []
    starts = [(i, e) for i, e in enumerate(events) if e["event"] == "round_started" and e["kind"] == "train"]
    for i, started in starts:
        end = next(j for j in range(i, len(events)) if events[j]["event"] == "round_finished")
        replies = [e for e in events[i:end] if e["event"] == "reply"]
        found.append(_passage(_moment(started), replies, _moment(events[end]), sites))
    return found


def _passage(start: float, replies: Sequence[Mapping[str, Any]], end: float, sites: Mapping[str, SiteLog]) -> Passage:
    last = max(replies, key=_moment)
    log, work = sites[last["site"]], _work(last)
    released = log.released[last["round"]]
    stations = [
        start,
        _moment(last) - last["seconds"],
        min(_within(log.taken, start, end)),
        released - work,
        released,
        max(_within(log.given, start, end)),
        _moment(last),
        end,
    ]
    steps = [later - earlier for earlier, later in pairwise(stations)]
    parts = dict(zip(PARTS, steps[:3] + steps[4:], strict=True))
    messages = max(len(_within(site.taken, start, end)) for site in sites.values())
    return Passage(end - start, max(map(_work, replies)), parts, messages)


def _within(moments: Sequence[float], start: float, end: float) -> list[float]:
    return [moment for moment in moments if start <= moment <= end]


def _work(reply: Mapping[str, Any]) -> float:
    return float(reply["train"]["seconds_train"]) + float(reply["train"]["seconds_evaluate"])


def _moment(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def site_log(gateway: str, journal: Sequence[Mapping[str, Any]]) -> SiteLog:
    """Read a gateway's log and the entries of a journal."""
    lines = gateway.splitlines()
    released = {e["round"]: _moment(e) for e in journal if e.get("decision") == "released" and e["kind"] == "train"}
    return SiteLog(_logged(lines, TAKEN), _logged(lines, GIVEN), released)


def _logged(lines: Sequence[str], words: str) -> list[float]:
    return [datetime.fromisoformat(line[:23].replace(",", ".")).timestamp() for line in lines if line.endswith(words)]


def median_parts(found: Sequence[Passage]) -> dict[str, float]:
    """Return the median of each part over rounds."""
    return {part: statistics.median(p.parts[part] for p in found) for part in PARTS}
