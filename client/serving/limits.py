"""What comes before a request is read: how large its body may be, by which name it asks, whether it has the token."""

import hashlib
import hmac
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.web.hosts import Hosts

OPEN = ("/health",)
"""Answered without a token: whoever watches the service has none."""


@dataclass(frozen=True)
class BodyLimit:
    """Answers 413 to a body of more bytes, announced or not, before it is in memory."""

    app: ASGIApp
    most_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > self.most_bytes:
            await JSONResponse({"error": self._sentence}, 413)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most_bytes:
                raise HTTPException(413, self._sentence)
            return message

        await self.app(scope, counted, send)

    @property
    def _sentence(self) -> str:
        return f"the body is larger than {self.most_bytes} bytes; send fewer rows in each request"


@dataclass(frozen=True)
class KnownHost:
    """Answers 421 to a request by a name that is not the service's."""

    app: ASGIApp
    hosts: Hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it names the service."""
        if scope["type"] != "http" or self.hosts.allow(Headers(scope=scope).get("host", "")):
            await self.app(scope, receive, send)
            return
        sentence = "the service has another name; ask it by the address that it said at its start, or give it a token"
        await JSONResponse({"error": sentence}, 421)(scope, receive, send)


@dataclass(frozen=True)
class BearerToken:
    """Answers 401 to a request without the token."""

    app: ASGIApp
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it has the token."""
        if scope["type"] != "http" or scope["path"] in OPEN or self._is_right(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        sentence = "no right token; send it as a header: Authorization: Bearer TOKEN"
        await JSONResponse({"error": sentence}, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _is_right(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.casefold() == "bearer" and hmac.compare_digest(_digest(given.strip()), _digest(self.token))


def _digest(text: str) -> bytes:
    """Of one length whatever the text, so that comparing takes the same time."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
