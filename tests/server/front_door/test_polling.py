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
