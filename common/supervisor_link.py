"""XML-RPC to a supervisord that listens on a Unix socket."""

import xmlrpc.client
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any  # answers of XML-RPC

from common.errors import UserError

_ANSWER_S = 90.0


class SupervisionError(UserError):
    """A supervisor does not answer, or declines."""


def call(path: Path, method: str, *arguments: Any) -> Any:
    """Return what the supervisor at the socket `path` answers. Raises SupervisionError."""
    try:
        with xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(path)) as server:
            return getattr(server.supervisor, method)(*arguments)
    except xmlrpc.client.Fault as fault:
        raise SupervisionError(f"the supervisor declines {method}: {fault.faultString}") from None
    except (OSError, HTTPException, xmlrpc.client.ProtocolError):
        raise SupervisionError("the supervisor does not answer; stop the processes and start them again") from None


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the path, whatever the host."""
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.settimeout(_ANSWER_S)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> HTTPConnection:  # the standard library's signature
        """Return a connection to the socket, whatever the host."""
        connection = _UnixConnection(self._path)
        self._connection = host, connection  # what close() closes
        return connection
