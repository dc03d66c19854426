"""pull-messages, held open: the SuperLink is asked again and again until there is something, the site but once."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from time import monotonic
from typing import Literal

from starlette.types import Receive

from server.front_door.asgi import Answer, GoneError, disconnected
from server.front_door.settings import Polling

Ask = Callable[[], Awaitable[Answer]]


class LostError(GoneError):
    """The site went while the SuperLink answered: what it answered reaches nobody."""


class Holder:
    """Knows how many sites wait and when something last happened, which set the pace of all of them."""

    def __init__(self, polling: Polling, closing: asyncio.Event, *, now: Callable[[], float] = monotonic) -> None:
        self._polling, self._closing, self._now = polling, closing, now
        self._waiting, self._stirred = 0, -math.inf

    def stir(self) -> None:
        """Note that a run is under way: its next message may come soon, and to any site."""
        self._stirred = self._now()

    async def hold(self, ask: Ask, receive: Receive) -> Answer:
        """Return the first answer that says something, or the last one when the time is over or the door closes.

        Raises GoneError when the site goes, LostError when it took an answer with it.
        """
        gone = asyncio.create_task(disconnected(receive))
        closing = asyncio.create_task(self._closing.wait())
        self._waiting += 1
        try:
            return await self._repeat(ask, gone, closing)
        finally:
            self._waiting -= 1
            gone.cancel()
            closing.cancel()

    async def _repeat(self, ask: Ask, gone: asyncio.Task[None], closing: asyncio.Task[Literal[True]]) -> Answer:
        ends: set[asyncio.Task[None] | asyncio.Task[Literal[True]]] = {gone, closing}
        clock = asyncio.get_running_loop().time
        until = clock() + self._polling.hold_s
        while True:
            answer = await ask()
            if says_something(answer):
                if answer.status == HTTPStatus.OK:
                    self.stir()
                if gone.done():
                    raise LostError
                return answer
            interval = self._polling.interval(self._waiting, quiet_s=self._now() - self._stirred)
            pause = min(interval, until - clock())
            if pause <= 0:
                return answer
            await asyncio.wait(ends, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise GoneError
            if closing.done():
                return answer


def says_something(answer: Answer) -> bool:
    """Whether this is more than "no message": SuperLink says that with 200 and no byte."""
    return answer.status != 200 or bool(answer.body)
