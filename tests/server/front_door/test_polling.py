"""The long poll apart from any network: who goes, when, and what is lost with it."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from server.front_door.asgi import Answer, GoneError
from server.front_door.polling import Holder, LostError
from server.front_door.settings import Polling

NOTHING, NEWS = Answer(200, []), Answer(200, [], b"news")
Message = MutableMapping[str, Any]


def receive_until(gone: asyncio.Event) -> Callable[[], Awaitable[Message]]:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


def hold(answers: list[Answer], *, go_at: int | None = None, close_at: int | None = None) -> tuple[Any, int]:
    """Return how a poll ends, and how often the SuperLink was asked; the site goes during the question `go_at`."""
    asked = 0

    async def run() -> Any:
        gone, closing = asyncio.Event(), asyncio.Event()

        async def ask() -> Answer:
            nonlocal asked
            asked += 1
            if asked == go_at:
                gone.set()
            if asked == close_at:
                closing.set()
            # The disconnect is noticed while the SuperLink thinks.
            for _ in range(5):
                await asyncio.sleep(0)
            return answers[min(asked, len(answers)) - 1]

        return await Holder(Polling(hold_s=5, interval_s=0.001, upstream_per_s=1e6), closing).hold(
            ask, receive_until(gone)
        )

    try:
        return asyncio.run(run()), asked
    except GoneError as error:
        return type(error), asked


def test_the_first_news_ends_the_poll() -> None:
    assert hold([NOTHING, NOTHING, NEWS]) == (NEWS, 3)


def test_news_for_a_site_that_has_just_gone_are_lost_and_said_to_be() -> None:
    assert hold([NOTHING, NEWS], go_at=2) == (LostError, 2)


def test_nothing_for_a_site_that_has_gone_loses_nothing() -> None:
    assert hold([NOTHING], go_at=2) == (GoneError, 2)


def test_a_closing_door_lets_the_site_go_with_nothing() -> None:
    assert hold([NOTHING], close_at=3) == (NOTHING, 3)


@pytest.mark.parametrize("status", [204, 401, 404, 500])
def test_any_other_status_ends_the_poll(status: int) -> None:
    assert hold([NOTHING, Answer(status, [])]) == (Answer(status, []), 2)


def questions(polling: Polling, quiet_s: float, *, first: Answer | None = None) -> int:
    """Return how often the SuperLink is asked in one poll that brings nothing, so long after something came."""
    now, asked = 100.0, 0

    async def run() -> None:
        nonlocal now, asked
        holder = Holder(polling, asyncio.Event(), now=lambda: now)

        async def ask() -> Answer:
            nonlocal asked
            asked += 1
            return NOTHING if first is None or asked > 1 else first

        if first is not None:
            await holder.hold(ask, receive_until(asyncio.Event()))
        now += quiet_s
        await holder.hold(ask, receive_until(asyncio.Event()))

    asyncio.run(run())
    return asked


@pytest.mark.parametrize(
    ("first", "quiet_s", "is_quick"),
    [(NEWS, 1, True), (NEWS, 11, False), (Answer(401, []), 1, False), (None, 0, False)],
)
def test_the_pace_is_quick_for_some_time_after_news(first: Answer | None, quiet_s: float, is_quick: bool) -> None:
    polling = Polling(hold_s=0.3, interval_s=0.01, idle_interval_s=0.2, quick_s=10, upstream_per_s=1e6)
    asked = questions(polling, quiet_s, first=first)
    assert asked > 8 if is_quick else asked <= 4, asked
