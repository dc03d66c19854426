"""Which names a page may be asked for by: a foreign name that points to the loopback reads nothing (DNS rebinding)."""

import socket
from dataclasses import dataclass
from ipaddress import ip_address

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})


@dataclass(frozen=True)
class Hosts:
    """The names that count; `any_address`: also every address written as numbers, which no foreign name can be."""

    names: frozenset[str]
    any_address: bool = False

    def allow(self, header: str) -> bool:
        """Whether a `Host` header, with its port or without, names this server.

        >>> Hosts(LOOPBACK_NAMES).allow("localhost:8000"), Hosts(LOOPBACK_NAMES).allow("evil.example:8000")
        (True, False)
        """
        name = without_port(header)
        return name in self.names or (self.any_address and _is_address(name))


def hosts_of(bound: str) -> Hosts:
    """Return the names of a server that listens on `bound`: the loopback's, that one, all of the machine's."""
    if bound in _WILDCARDS:
        own = {socket.gethostname().lower(), socket.getfqdn().lower()}
        return Hosts(LOOPBACK_NAMES | own, any_address=True)
    return Hosts(LOOPBACK_NAMES | {bound.strip("[]").lower()})


def without_port(header: str) -> str:
    """Return the name of a `Host` header in small letters.

    >>> without_port("[::1]:80"), without_port("Name:80"), without_port("name")
    ('::1', 'name', 'name')
    """
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, _, port = text.rpartition(":")
    return name if name and port.isdigit() else text


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
