"""Connections that say nothing, and too many of them."""

import socket
import ssl
import time
from typing import Any

import httpx
import pytest
from starlette.responses import Response


def connect(doors: Any, port: int) -> ssl.SSLSocket:
    trust = ssl.create_default_context(cafile=str(doors.public.ca))
    plain = doors.stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
    return doors.stack.enter_context(trust.wrap_socket(plain, server_hostname="127.0.0.1"))  # type: ignore[no-any-return]


def is_dropped(connection: ssl.SSLSocket) -> bool:
    try:
        return connection.recv(1) == b""
    except (ConnectionResetError, ssl.SSLEOFError):
        return True


def is_refused(doors: Any, port: int) -> bool:
    try:
        return is_dropped(connect(doors, port))
    except (ConnectionResetError, ssl.SSLError):
        return True


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: a\r\nx-slow: "])
def test_who_never_ends_a_request_is_dropped(doors: Any, sent: bytes) -> None:
    connection = connect(doors, doors.start(limits={"header_timeout_s": 0.3}))
    connection.sendall(sent)
    started = time.monotonic()
    assert is_dropped(connection)
    assert time.monotonic() - started < 5


def test_who_begins_a_second_request_and_does_not_end_it_is_dropped(doors: Any) -> None:
    connection = connect(doors, doors.start(limits={"header_timeout_s": 0.3}))
    connection.sendall(b"GET /docs HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 404")
    connection.sendall(b"GET /docs HTTP/1.1\r\nHost:")
    assert is_dropped(connection)


def test_a_request_in_progress_is_not_dropped(doors: Any) -> None:
    doors.recorder.reply = lambda _: Response(b"")
    polling = {"hold_s": 1.5, "interval_s": 0.05, "idle_interval_s": 0.05}
    client = doors.open(limits={"header_timeout_s": 0.2}, polling=polling)
    assert client.post("/v1/fleet/pull-messages", content=b"x").status_code == 200


@pytest.mark.parametrize("limit", ["connections", "connections_per_peer"])
def test_connections_above_the_limit_are_dropped_until_others_end(doors: Any, limit: str) -> None:
    port = doors.start(limits={limit: 2, "header_timeout_s": 60})
    first, _second = connect(doors, port), connect(doors, port)
    assert is_refused(doors, port)
    first.close()
    client, end = doors.client(port), time.monotonic() + 5
    while time.monotonic() < end:
        try:
            assert client.get("/docs").status_code == 404
            return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the place of a connection that ended was not given on")
