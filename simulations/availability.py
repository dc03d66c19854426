"""When a virtual site is there and how long its work takes, in virtual time: no wall time is slept.

Stragglers: a round's work takes `work_s` at a site of median speed. Speeds are log-normal over sites (`speed_spread`)
and over the rounds of a site (`round_spread`), and bytes take their time where `bytes_per_s` is given. Availability:
the link is up and down in turn, exponential (an on/off Markov chain) or diurnal (a square wave, of a phase of each
site's own); a site that is down when it is asked is absent, and one whose link goes down computes on and answers when
it is up again. Dropout: a site that fails in a round does so however often it is asked.

Every draw is of (seed, round, site, purpose) and of nothing else, so that all strategies of a comparison meet the same
sites on the same days.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from common.seeds import generator
from common.study import Section


class Availability(Section):
    """What sites are like; all seconds are virtual. `up_s` and `down_s` are means, or the parts of a diurnal period."""

    deadline_s: float = Field(gt=0, allow_inf_nan=False, description="how long a round waits for its sites")
    work_s: float = Field(default=60.0, gt=0, allow_inf_nan=False, description="a round's work at the median site")
    speed_spread: float = Field(default=0.0, ge=0, le=3, description="standard deviation of log speed over sites")
    round_spread: float = Field(default=0.0, ge=0, le=3, description="the same over the rounds of one site")
    bytes_per_s: float | None = Field(default=None, gt=0, description="of each site's link, up and down alike")
    pattern: Literal["always", "on-off", "diurnal"] = "always"
    up_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    down_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1, description="probability that a site fails in a round")

    @model_validator(mode="after")
    def _whole_pattern(self) -> Self:
        given = [name for name in ("up_s", "down_s") if getattr(self, name) is not None]
        if self.pattern == "always" and given:
            raise ValueError(f"{given[0]} goes with pattern = 'on-off' or 'diurnal'; the pattern is 'always'")
        if self.pattern != "always" and len(given) < 2:
            raise ValueError(f"pattern = {self.pattern!r} needs up_s and down_s")
        return self


@dataclass(frozen=True)
class SiteTime:
    """One site of a run with this seed."""

    model: Availability
    seed: int
    site: str

    def fails(self, round_number: int) -> bool:
        """Whether the site fails in this round."""
        rng = generator(self.seed, round_number=round_number, site=self.site, purpose="availability dropout")
        return bool(rng.random() < self.model.dropout)

    def work_s(self, round_number: int, *, size_bytes: int) -> float:
        """Return the seconds from a question to its answer; `size_bytes` of both together.

        >>> SiteTime(Availability(deadline_s=90, bytes_per_s=1e6), 0, "east").work_s(1, size_bytes=2_000_000)
        62.0
        """
        log_speed = self._normal(0, "speed") * self.model.speed_spread
        log_round = self._normal(round_number, "round") * self.model.round_spread
        transfer = 0.0 if self.model.bytes_per_s is None else size_bytes / self.model.bytes_per_s
        return self.model.work_s * math.exp(-log_speed - log_round) + transfer

    def _normal(self, round_number: int, what: str) -> float:
        rng = generator(self.seed, round_number=round_number, site=self.site, purpose=f"availability {what}")
        return float(rng.standard_normal())

    def next_up_s(self, at: float) -> float:
        """Return the first moment from `at` on at which the link is up.

        >>> always = SiteTime(Availability(deadline_s=90), 0, "east")
        >>> always.next_up_s(7.5)
        7.5
        """
        if self.model.pattern == "always":
            return at
        return next(max(start, at) for start, end in self._ups() if end > at)

    def _ups(self) -> Iterator[tuple[float, float]]:
        """Yield the times from start to end at which the link is up, in order and without end."""
        up, down = self.model.up_s, self.model.down_s
        assert up is not None  # the model's own check
        assert down is not None
        rng = generator(self.seed, site=self.site, purpose="availability link")
        if self.model.pattern == "diurnal":
            now = -rng.random() * (up + down)
            yield from ((now + k * (up + down), now + k * (up + down) + up) for k in count())
        now = _first_up(rng, up, down)
        while True:
            end = now + rng.exponential(up)
            yield now, end
            now = end + rng.exponential(down)


def _first_up(rng: np.random.Generator, up: float, down: float) -> float:
    """Return when the first time up of a chain begins.

    The chain is stationary from the start: what is left of the first time, up or down, is exponential too.
    """
    return 0.0 if rng.random() < up / (up + down) else float(rng.exponential(down))
