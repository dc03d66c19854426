"""Signed requests that came before: each signed timestamp counts once.

A SuperNode of Flower 1.41 signs the time and not what it asks. So whoever has seen the headers of one request could ask
anything in that site's name until the time is too old; here the second request with them is not passed on.
"""

import base64
import hashlib
from collections.abc import Iterable

KEY, TIME = b"flwr-public-key", b"flwr-timestamp"
"""Whose request, and when; not the signature, of which there is more than one to the same time (ECDSA)."""
WINDOW_S = 320.0
"""SuperLink takes times from 5 s ahead of it to 305 s behind."""
MOST = 200_000
"""Beyond so many in a window the oldest are forgotten; no peer may ask that often."""
AMBIGUOUS = b""


def signed(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return what tells one signed request from another: the key's own bytes, which have several texts, and the time.

    None where nothing is signed, which SuperLink refuses; AMBIGUOUS where one of the headers is there twice.

    >>> signed([(b"flwr-timestamp", b"t")]) is None
    True
    """
    found = [(name, value.strip()) for name, value in headers if name in (KEY, TIME)]
    values = dict(found)
    if len(found) > len(values):
        return AMBIGUOUS
    try:
        key = base64.b64decode(values[KEY], validate=True)
        return hashlib.sha256(key + b"\n" + values[TIME]).digest()
    except (KeyError, ValueError):
        return None


class Replays:
    """The signed requests of the last WINDOW_S seconds."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._seen: dict[bytes, float] = {}

    def enter(self, request: bytes | None, now_s: float) -> bool:
        """Remember a request and return True, or return False where it came before or is ambiguous."""
        if request is None or request == AMBIGUOUS:
            return request is None
        self._forget_old(now_s)
        if request in self._seen:
            return False
        self._seen[request] = now_s
        return True

    def forget(self, request: bytes | None) -> None:
        """Forget a request that SuperLink did not let in: who has no key cannot fill the memory."""
        if request is not None:
            self._seen.pop(request, None)

    def __len__(self) -> int:
        return len(self._seen)

    def _forget_old(self, now_s: float) -> None:
        """The oldest come first in the table."""
        while self._seen:
            oldest = next(iter(self._seen))
            if now_s - self._seen[oldest] <= WINDOW_S and len(self._seen) < self._most:
                return
            del self._seen[oldest]
