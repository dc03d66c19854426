"""Which headers a proxy passes on, and which belong to one connection only (RFC 9110, section 7.6.1)."""

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# SuperLink's web server believes these from the loopback, where the door is: a site could choose its own address.
CLAIMED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip"})


PEER = b"x-real-ip"
"""In which nginx, and nobody else on the loopback, says whose request it passes on."""


def named_peer(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the address that nginx names; all requests without one, or with several, are of one peer.

    >>> named_peer([(b"x-real-ip", b"192.0.2.7")]), named_peer([])
    ('192.0.2.7', '')
    """
    found = [value.decode("latin-1") for name, value in headers if name.lower() == PEER]
    return found[0] if len(found) == 1 else ""


def upstream_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return what of a request goes on; the door has its own `host` and has answered `expect` itself."""
    return _end_to_end(headers, without=HOP_BY_HOP | CLAIMED | {b"host", b"expect"})


def downstream_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return what of an answer goes back; which software stands behind the door is nobody's business."""
    return _end_to_end(headers, without=HOP_BY_HOP | {b"server"})


def _end_to_end(headers: Iterable[tuple[bytes, bytes]], *, without: frozenset[bytes]) -> Headers:
    pairs = [(name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for name, value in pairs if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in pairs if name not in without and name not in named]
