"""What uvicorn leaves open: connections that say nothing, or nothing to the end, and how many one peer may hold.

uvicorn closes an idle connection only once it has answered on it. Here each is looked at every `header_timeout_s`, and
dropped when it was without a whole request twice in a row.
"""

from asyncio import Transport
from collections import Counter

from uvicorn.protocols.http.h11_impl import H11Protocol

from server.front_door.peers import peer_of
from server.front_door.settings import Limits


def protocol(limits: Limits, *, per_peer: bool) -> type[H11Protocol]:
    """Return uvicorn's protocol with these limits; all connections made with it are counted together."""
    held = Counter[str]()

    class LimitedProtocol(H11Protocol):
        _peer: str | None = None
        _seen: object = None
        _answered_at_last_look = False

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
            super().connection_made(transport)
            peer = peer_of(self.client[0] if self.client else "")
            full = held.total() >= limits.connections or (per_peer and held[peer] >= limits.connections_per_peer)
            if full:
                transport.abort()
                return
            self._peer = peer
            held[peer] += 1
            self.loop.call_later(limits.header_timeout_s, self._look)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._peer is not None:
                held[self._peer] -= 1
                if not held[self._peer]:
                    del held[self._peer]
                self._peer = None

        def _look(self) -> None:
            """Drop the connection if it has no request in progress, and had none, the same none, at the last look."""
            if self._peer is None:
                return
            idle = self.cycle is None or self.cycle.response_complete
            if idle and (self.cycle is None or (self._answered_at_last_look and self._seen is self.cycle)):
                self.transport.abort()
                return
            self._answered_at_last_look, self._seen = idle, self.cycle
            self.loop.call_later(limits.header_timeout_s, self._look)

    return LimitedProtocol
