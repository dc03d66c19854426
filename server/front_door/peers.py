"""How much one peer may ask at once and over time: a count and two token buckets for each address."""

import ipaddress
from dataclasses import dataclass

from server.front_door.settings import Limits

REMEMBERED = 4096
"""Peers above which those that are idle and have all their tokens again are forgotten."""


@dataclass
class _Peer:
    tokens: float
    left_bytes: float
    seen_s: float
    in_flight: int = 0


def refilled(tokens: float, elapsed_s: float, *, per_s: float, burst: int) -> float:
    """Return the tokens of a bucket after `elapsed_s`.

    >>> refilled(1.0, 2.0, per_s=3.0, burst=10), refilled(1.0, 99.0, per_s=3.0, burst=10)
    (7.0, 10.0)
    """
    return min(float(burst), tokens + max(0.0, elapsed_s) * per_s)


def peer_of(address: str) -> str:
    """Return whom an address belongs to: an IPv6 host owns the whole /64.

    >>> peer_of("192.0.2.7"), peer_of("2001:db8::1:2:3:4"), peer_of("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8::', '192.0.2.7')
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)


class Peers:
    """The requests of each peer: `enter` before one is served, `leave` after."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._peers: dict[str, _Peer] = {}

    def enter(self, peer: str, now_s: float, *, size_bytes: int = 0) -> bool:
        """Count a request in and return True, or return False where the peer asks or sends too much.

        size_bytes: of the request's body, or the most that it can have.
        """
        state = self._peers.get(peer)
        if state is None:
            self._forget(now_s)
            state = self._peers[peer] = _Peer(float(self._limits.burst), float(self._limits.bytes_per_peer), now_s)
        state.tokens, state.left_bytes = self._refill(state, now_s), self._refill_bytes(state, now_s)
        state.seen_s = max(now_s, state.seen_s)
        if state.tokens < 1 or state.in_flight >= self._limits.requests_per_peer or state.left_bytes < size_bytes:
            return False
        state.tokens -= 1
        state.left_bytes -= size_bytes
        state.in_flight += 1
        return True

    def leave(self, peer: str) -> None:
        """Count a request out that `enter` let in."""
        self._peers[peer].in_flight -= 1

    def __len__(self) -> int:
        return len(self._peers)

    def _refill(self, state: _Peer, now_s: float) -> float:
        limits = self._limits
        return refilled(state.tokens, now_s - state.seen_s, per_s=limits.requests_per_s, burst=limits.burst)

    def _refill_bytes(self, state: _Peer, now_s: float) -> float:
        full = self._limits.bytes_per_peer
        return refilled(state.left_bytes, now_s - state.seen_s, per_s=full / self._limits.window_s, burst=full)

    def _forget(self, now_s: float) -> None:
        if len(self._peers) >= REMEMBERED:
            self._peers = {peer: state for peer, state in self._peers.items() if self._owes(state, now_s)}

    def _owes(self, state: _Peer, now_s: float) -> bool:
        spent = self._refill(state, now_s) < self._limits.burst
        return bool(state.in_flight) or spent or self._refill_bytes(state, now_s) < self._limits.bytes_per_peer
