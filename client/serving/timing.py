"""Seconds and status of every request to predict, counted from its first byte to its last."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREDICT = "/v1/predict"


@dataclass(frozen=True)
class Timed:
    """Tells `count` the status and seconds of each."""

    app: ASGIApp
    count: Callable[[int, float], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or scope["path"] != PREDICT:
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, seen)
        finally:
            self.count(status, perf_counter() - start)
