"""Why a signed request was refused: the clock of the site that signed it, which SuperLink does not tell anybody."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from common.files import digest_bytes
from server.front_door.replays import KEY, TIME

AHEAD = timedelta(seconds=5)
BEHIND = timedelta(seconds=305)
"""SuperLink of Flower 1.41 takes times up to here."""
AGAIN_S = 300.0
MOST = 100
"""Beyond so many keys nothing more is said until the first may be told again: anybody can make keys."""


def clock_of(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> tuple[str, str] | None:
    """Return a key's short name and what is wrong with its clock; None where that is not why it was refused."""
    sent = dict(headers)
    try:
        moment = datetime.fromisoformat(sent[TIME].decode("ascii"))
        ahead = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - now
    except (KeyError, ValueError, OverflowError):
        return None
    if -BEHIND <= ahead <= AHEAD:
        return None
    word = "ahead of" if ahead > timedelta(0) else "behind"
    return _name(sent.get(KEY, b"")), f"{abs(ahead).total_seconds():.0f} s {word} this machine's"


def _name(key: bytes) -> str:
    """Return the short name of a key that `fedpeft server sites --json` has too, whoever sent what."""
    try:
        return digest_bytes(base64.b64decode(key.strip(), validate=True)).removeprefix("sha256:")[:16]
    except ValueError:
        return "none"


class Clocks:
    """Which keys' clocks have been told of lately."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def line(self, headers: Iterable[tuple[bytes, bytes]], now: datetime, now_s: float) -> str | None:
        """Return a line for the log about a request that SuperLink refused, once in a while for each key."""
        found = clock_of(headers, now)
        self._told = {key: told for key, told in self._told.items() if now_s - told < AGAIN_S}
        if found is None or found[0] in self._told or len(self._told) >= MOST:
            return None
        self._told[found[0]] = now_s
        return (
            f"a site was refused since its clock is {found[1]} (transport_name {found[0]} in `fedpeft "
            "server sites --json`): requests are signed with the time; its hospital sets its clock (NTP), or you yours"
        )
