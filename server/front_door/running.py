"""Running a front door until SIGTERM: uvicorn, TLS 1.2 or later, no access log."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from types import FrameType

import uvicorn

from common.errors import UserError
from server.front_door.app import create_app
from server.front_door.connections import protocol
from server.front_door.settings import DoorSettings

LOG = logging.getLogger("server.front_door")
BACKLOG = 512
GRACE_S = 3
KEPT_S = 10


class DoorServer(uvicorn.Server):
    """uvicorn's server that ends the long polls when it shuts down, which it would else wait for."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let held requests go, then shut down."""
        self._closing.set()
        await super().shutdown(sockets)


def build_server(settings: DoorSettings) -> DoorServer:
    """Return the server of a door, ready to run. Raises UserError where certificate and key do not fit."""
    closing = asyncio.Event()
    config = uvicorn.Config(
        create_app(settings, closing=closing),
        host=settings.host,
        port=settings.port,
        http=protocol(settings.limits, per_peer=settings.role == "door"),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEPT_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.certfile,
        ssl_keyfile=settings.keyfile,
    )
    _load(config, settings)
    return DoorServer(config, closing)


def _load(config: uvicorn.Config, settings: DoorSettings) -> None:
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise UserError(
            f"{settings.certfile} and {settings.keyfile} are no certificate and its key: {error}; "
            "`fedpeft server renew` makes new ones"
        ) from None
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2


def run(settings: DoorSettings) -> None:
    """Serve until SIGTERM or SIGINT; both end the process with exit code 0 once the open requests are answered."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # httpx logs each request, uvicorn the address that sent what is not HTTP.
    for name in ("httpx", "httpcore", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # uvicorn raises the signal again when it is done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    server = build_server(settings)
    with listen(settings) as listening:
        LOG.info("listening on port %d", listening.getsockname()[1])
        server.run(sockets=[listening])


def listen(settings: DoorSettings) -> socket.socket:
    """Return the socket on which the sites are awaited. Raises UserError where it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise UserError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "is another process there, or is the port below 1024?"
        ) from None


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(os.EX_OK)
