"""Serving an app with uvicorn: until a signal, or in a thread beside other work of this process."""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from common.errors import UserError
from common.loopback import LOOPBACK

GRACE_S = 2
"""So long open answers, such as event streams, have to end before they are cut."""
_START_S = 30.0


class Server(uvicorn.Server):
    """uvicorn's server that says when it listens and leaves the process's signals to who started it."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self._closing = closing

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets=sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let open streams end, which uvicorn would else wait for, then shut down."""
        self._closing.set()
        await super().shutdown(sockets)

    def leave(self) -> None:
        """Let the server end; may be called from any thread and from a signal."""
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Return a socket on which who asks is awaited; port 0: a free one. Raises UserError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else type(error).__name__
        raise UserError(f"cannot listen on {host}, port {port}: {said}; choose another port or host") from None


def address(listening: socket.socket) -> str:
    """Return the URL of what listens there; of a wildcard, by the loopback."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_of(app: FastAPI) -> Server:
    """Return the server of an app: it logs no request, whose address could carry what is nobody's business."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return Server(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        ),
        app.state.closing,
    )


def serve(app: FastAPI, listening: socket.socket, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `say` is given the URL once."""
    server = server_of(app)

    def leave(_number: int, _frame: FrameType | None) -> None:
        server.leave()

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        say(address(listening))
        server.run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def serving(app: FastAPI, listening: socket.socket) -> Iterator[str]:
    """Serve in a thread while the block runs, which is given the URL; open streams are cut at its end."""
    server = server_of(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="dashboard", daemon=True)
    thread.start()
    server.listening.wait(_START_S)
    try:
        yield address(listening)
    finally:
        server.leave()
        thread.join(GRACE_S + 3)
