"""How long a round waits for sites that could not be asked, or whose word was that they cannot just now.

A site at work has the whole deadline of its attempt. One that is away, or still at an earlier round, is waited for as
long as one deadline from the round's start where the quorum needs it; once the quorum is there, for a short grace. One
whose trainer or SuperNode was away or busy is asked again, from time to time, only where the quorum needs it.
"""

from dataclasses import dataclass
from typing import Final

from server.session import Results, SiteResult

AT_EARLIER_ROUND: Final = "still at an earlier round"
NOT_CONNECTED: Final = "not connected"
_MAX_GRACE_S: Final = 15.0
"""Short: a site that has left for good costs each round that much."""
_MAX_PAUSE_S: Final = 30.0
_PASSING: Final = frozenset({"SITE_UNAVAILABLE", "TRAINER_UNAVAILABLE", "BUSY"})
"""Failures that may be over in a minute: a link that was cut, a process that is being restarted, a question before."""


@dataclass(frozen=True)
class Patience:
    """Of one round. start: by the clock; deadline_s: of each of its attempts."""

    start: float
    deadline_s: float

    @property
    def pause_s(self) -> float:
        """Return the seconds before a site is asked again that has failed."""
        return min(self.deadline_s / 10, _MAX_PAUSE_S)

    def end(self, *, has_quorum: bool) -> float:
        """Return until when sites that are not at work are waited for.

        >>> Patience(0.0, 3600.0).end(has_quorum=True), Patience(0.0, 3600.0).end(has_quorum=False)
        (15.0, 3600.0)
        """
        return self.start + (min(self.deadline_s / 10, _MAX_GRACE_S) if has_quorum else self.deadline_s)


def is_unasked(result: SiteResult) -> bool:
    """Whether a site could not be asked yet."""
    return result.status == "absent" or result.reason == AT_EARLIER_ROUND


def has_passing_failure(result: SiteResult) -> bool:
    """Whether a site has failed in a way that may be over soon."""
    return result.status == "failed" and result.reason in _PASSING


def awaited(results: Results, *, has_quorum: bool) -> tuple[str, ...]:
    """Return the sites to wait for though they are not at work, by name."""
    return tuple(
        site
        for site in sorted(results)
        if is_unasked(results[site]) or (not has_quorum and has_passing_failure(results[site]))
    )
