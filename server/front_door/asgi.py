"""The two directions of one ASGI request: the body that comes, in pieces and counted, and the answer that goes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from starlette.types import Receive, Send

from server.front_door.headers import Headers

DRAINED_S = 2.0
"""How long the rest of an oversized body is read and dropped: who is still sending does not read the answer."""


class TooLargeError(Exception):
    """A body is longer than the limit."""


class GoneError(Exception):
    """The peer has closed the connection."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes = b""

    async def send(self, send: Send) -> None:
        """Send it."""
        await start(send, self.status, self.headers)
        await send({"type": "http.response.body", "body": self.body})


def refusal(status: int, *, close: bool) -> Answer:
    """Return an answer without a body; `close` ends the connection, so that an unread body is not waited for."""
    headers = [(b"content-length", b"0")] + ([(b"connection", b"close")] if close else [])
    return Answer(status, headers)


async def start(send: Send, status: int, headers: Headers) -> None:
    """Send an answer's status and headers."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def pieces(receive: Receive, *, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises TooLargeError before more than `limit` bytes were yielded, and GoneError."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        piece, more = message.get("body", b""), message.get("more_body", False)
        size += len(piece)
        if size > limit:
            raise TooLargeError
        if piece:
            yield piece


async def whole(receive: Receive, *, limit: int) -> bytes:
    """Return the whole body. Raises TooLargeError and GoneError."""
    return b"".join([piece async for piece in pieces(receive, limit=limit)])


async def drain(receive: Receive, *, limit: int) -> None:
    """Read and drop what is left of a body, up to `limit` bytes and DRAINED_S."""
    try:
        async with asyncio.timeout(DRAINED_S):
            async for _ in pieces(receive, limit=limit):
                pass
    except (TimeoutError, TooLargeError, GoneError):
        return


async def disconnected(receive: Receive) -> None:
    """Return when the peer has gone. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


def content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return what the headers say of the body's length: 0 where there is none, None where it is only known later."""
    found = dict(headers)
    if b"transfer-encoding" in found:
        return None
    return int(found.get(b"content-length", b"0"))
