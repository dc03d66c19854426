"""The gateway's health, asked as the watch asks it."""

import socket
from contextlib import ExitStack

import pytest

from client.gateway_health import serving_health
from common.errors import UserError
from common.loopback import free_ports
from common.watch import Check


def test_it_answers_while_the_gateway_works_and_no_longer() -> None:
    (port,) = free_ports(1)
    check = Check(program="gateway", grpc=f"127.0.0.1:{port}")
    with serving_health(port):
        assert check.passes(patience_s=5)
    assert not check.passes(patience_s=0.2)


def test_it_is_on_the_loopback_only() -> None:
    (port,) = free_ports(1)
    with serving_health(port), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=1)


def test_a_second_gateway_does_not_answer_for_the_first() -> None:
    (port,) = free_ports(1)
    with serving_health(port), ExitStack() as stack, pytest.raises(UserError, match=f"port {port} .* is taken"):
        stack.enter_context(serving_health(port))
