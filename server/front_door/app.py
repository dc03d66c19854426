"""The front door: a reverse proxy through which sites reach a SuperLink's Fleet paths and health, and nothing else.

A SuperNode survives 502, 503, 504 and a lost connection only; it stops for good, or drops a message silently, on any
other failure. So every limit answers 503, and no redirect is ever passed on.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus

import httpx
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from server.front_door import asgi
from server.front_door.allowed import ALLOWED, BEHIND_NGINX, OF_A_RUN, PULL_MESSAGES, is_allowed
from server.front_door.asgi import Answer
from server.front_door.clocks import Clocks
from server.front_door.headers import named_peer, upstream_headers
from server.front_door.peers import Peers, peer_of
from server.front_door.polling import Holder, LostError
from server.front_door.replays import Replays, signed
from server.front_door.settings import DoorSettings
from server.front_door.upstream import Upstream, UpstreamError, answer_headers, connect, failure, read

LOG = logging.getLogger("server.front_door")
POLL_BYTES = 64 * 2**10
"""A question for messages is kept in memory while it is held; it has some hundred bytes."""
Counts = Counter[tuple[str, str]]


def create_app(settings: DoorSettings, *, closing: asyncio.Event | None = None) -> Router:
    """Return the ASGI application; `closing`, once set, ends the long polls at once.

    Its lifespan closes the connections to the SuperLink and logs how often each path ended in each status.
    """
    client, counts = connect(settings), Counts()
    door = Door(settings, client, counts, closing or asyncio.Event())

    @asynccontextmanager
    async def lifespan(_: Router) -> AsyncIterator[None]:
        async with client:
            yield
        for (path, status), count in sorted(counts.items()):
            LOG.info("%s %s: %d", path, status, count)

    return Router(routes=[], redirect_slashes=False, default=door, lifespan=lifespan)


class Door:
    """The ASGI application without its lifespan."""

    def __init__(
        self, settings: DoorSettings, client: httpx.AsyncClient, counts: Counts, closing: asyncio.Event
    ) -> None:
        self._limits, self._counts = settings.limits, counts
        self._is_door = settings.role == "door"
        self._allowed = ALLOWED if self._is_door else BEHIND_NGINX
        self._peers = Peers(settings.limits)
        self._replays, self._clocks = Replays(), Clocks()
        self._holder = Holder(settings.polling, closing)
        self._upstream = Upstream(client, settings.upstream)
        self._works = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        query = scope["query_string"]
        if not is_allowed(scope["method"], scope["raw_path"], query, allowed=self._allowed):
            await self._refuse("other", 404, scope, send)
            return
        path, peer = scope["path"], peer_of(self._address(scope))
        if not self._peers.enter(peer, time.monotonic(), size_bytes=self._most_bytes(scope)):
            await self._refuse(path, 503, scope, send)
            return
        try:
            await self._serve_once(path, scope, receive, send)
        finally:
            self._peers.leave(peer)

    def _address(self, scope: Scope) -> str:
        """Return the address that a request came from; behind nginx, the one that nginx says."""
        if not self._is_door:
            return named_peer(scope["headers"])
        return scope["client"][0] if scope["client"] else ""

    def _most_bytes(self, scope: Scope) -> int:
        """Return how many bytes a request's body may have; one that is longer than the limit is not passed on."""
        said = asgi.content_length(scope["headers"])
        return self._limits.body_bytes if said is None else min(said, self._limits.body_bytes)

    async def _serve_once(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request unless its signed time has come before."""
        request, started = signed(scope["headers"]), Started(send)
        if not self._replays.enter(request, time.monotonic()):
            LOG.warning("a signed request came twice and was not passed on")
            await self._refuse(path, 503, scope, send)
            return
        try:
            await self._serve(path, scope, receive, started)
        finally:
            if started.status == HTTPStatus.UNAUTHORIZED:
                self._replays.forget(request)
                self._tell_clock(scope)

    def _tell_clock(self, scope: Scope) -> None:
        line = self._clocks.line(scope["headers"], datetime.now(UTC), time.monotonic())
        if line is not None:
            LOG.warning(line)

    async def _refuse(self, path: str, status: int, scope: Scope, send: Send) -> None:
        self._counts[path, str(status)] += 1
        await asgi.refusal(status, close=asgi.content_length(scope["headers"]) != 0).send(send)

    async def _serve(self, path: str, scope: Scope, receive: Receive, started: "Started") -> None:
        """Answer, and turn whatever prevents an answer into a status that a SuperNode survives."""
        limit = self._limits.body_bytes if path != PULL_MESSAGES else min(POLL_BYTES, self._limits.body_bytes)
        try:
            if (asgi.content_length(scope["headers"]) or 0) > limit:
                raise asgi.TooLargeError
            async with asyncio.timeout(self._limits.request_timeout_s):
                await self._answer(path, scope, receive, started, limit)
        except asgi.GoneError as error:
            self._counts[path, "lost" if isinstance(error, LostError) else "gone"] += 1
        except asgi.TooLargeError:
            if b"expect" not in dict(scope["headers"]):
                await asgi.drain(receive, limit=2 * self._limits.body_bytes)
            await self._refuse(path, 413, scope, started)
        except (UpstreamError, TimeoutError) as error:
            status = error.status if isinstance(error, UpstreamError) else 504
            self._warn(error)
            if started.status is not None:
                raise CutError(f"the answer to {path} was cut short") from None
            await self._refuse(path, status, scope, started)
        else:
            self._works = True
            self._counts[path, str(started.status)] += 1
            if path in OF_A_RUN and started.status == HTTPStatus.OK:
                self._holder.stir()

    def _warn(self, error: Exception) -> None:
        """Say once that the SuperLink does not answer, until it does again."""
        if self._works:
            LOG.warning("the SuperLink gave no answer: %s", str(error) or type(error).__name__)
        self._works = False

    async def _answer(self, path: str, scope: Scope, receive: Receive, send: "Started", limit: int) -> None:
        method, headers = scope["method"], upstream_headers(scope["headers"])
        if path == PULL_MESSAGES:
            question = await asgi.whole(receive, limit=limit)

            async def ask() -> Answer:
                response = await self._upstream.ask(method, path, headers, question)
                return Answer(response.status_code, answer_headers(response), await read(response))

            await (await self._holder.hold(ask, receive)).send(send)
            return
        body = asgi.pieces(receive, limit=limit) if asgi.content_length(scope["headers"]) != 0 else b""
        await relay(await self._upstream.ask(method, path, headers, body), send)


class CutError(Exception):
    """An answer broke off after its start; the web server then closes the connection, so that nobody takes it whole."""


class Started:
    """An ASGI `send` that remembers the status that it started with."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


async def relay(response: httpx.Response, send: Send) -> None:
    """Pass an answer on as it comes, and close it. Raises UpstreamError."""
    try:
        await asgi.start(send, response.status_code, answer_headers(response))
        async for piece in response.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except httpx.TransportError as error:
        raise failure(error) from None
    finally:
        await response.aclose()
    await send({"type": "http.response.body", "body": b""})
