"""The service as a process: its socket, its signals, and uvicorn until it is told to end.

SIGTERM and SIGINT end it once what is in flight is answered; SIGHUP has the adapter read again.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from client.serving.api import build_app
from client.serving.service import Service, Settings
from common.errors import UserError

LEAST_TOKEN = 16
ENDING_S = 30
"""Seconds that requests in flight have at the end."""


def serve(settings: Settings, *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until a signal. Raises UserError: nothing can be served so."""
    check_host(host, settings.token)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a model to load an adapter into
    service = Service(settings)
    listener = _listen(host, port)
    address = f"http://{_written(host)}:{listener.getsockname()[1]}"
    app = build_app(service, when_ready=lambda: say(f"serving {service.resident.opened.study.name} at {address}"))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("fedpeft.serve").setLevel(logging.INFO)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=ENDING_S)
    signal.signal(signal.SIGHUP, lambda *_: service.reload())
    # uvicorn raises again what ended it, by the handlers of before: an end that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def check_host(host: str, token: str | None) -> None:
    """Raise UserError where other machines could ask without a token."""
    if token is None and not is_loopback(host):
        raise UserError(
            f"--host {host} lets other machines ask: give a token with --token-file, which clients send as "
            "Authorization: Bearer TOKEN, or leave --host out (127.0.0.1)"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, True, False, True)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(file: Path) -> str:
    """Return the token in a file. Raises UserError."""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--token-file {file} cannot be read; it holds one line, the token") from None
    if len(token) < LEAST_TOKEN or any(letter.isspace() for letter in token):
        raise UserError(
            f"--token-file {file}: found {len(token)} characters, expected one word of at least {LEAST_TOKEN}; "
            "such as: openssl rand -hex 32"
        )
    return token


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else type(error).__name__
        raise UserError(f"--host {host} --port {port}: {said}; choose another, or 0 for a free one") from None


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host
