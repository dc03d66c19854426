"""Free ports of the loopback. Between the choice and the start another program may take one: then choose anew."""

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return so many ports on which nobody listens, no two the same."""
    with ExitStack() as stack:  # all at once, or the same might come twice
        probes = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


def are_free(*ports: int) -> bool:
    """Whether nobody listens on any of these ports."""
    try:
        with ExitStack() as stack:
            for port in ports:
                stack.enter_context(socket.create_server((LOOPBACK, port)))
    except OSError:
        return False
    return True
