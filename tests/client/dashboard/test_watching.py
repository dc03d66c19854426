import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from client.dashboard.watching import look
from common.web.event_stream import news

Make = Callable[..., Any]
Note = Callable[..., None]


async def event(messages: AsyncIterator[bytes]) -> tuple[str, int]:
    while True:
        text = (await asyncio.wait_for(anext(messages), 10)).decode()
        if not text.startswith(":"):
            lines = dict(line.split(": ", 1) for line in text.strip().split("\n"))
            assert "position" in json.loads(lines["data"])
            return lines["event"], int(lines["id"])


def test_a_line_is_told_with_its_position_and_a_folder_that_goes_and_comes(make_site: Make, note: Note) -> None:
    site = make_site()
    folder = site.folder

    async def follow() -> None:
        seen = look(folder)
        messages = news(partial(look, folder), seen.position, asyncio.Event(), version=seen.version)
        note(folder)
        assert await event(messages) == ("changed", folder.journal.stat().st_size)
        folder.paused.touch()
        assert (await event(messages))[0] == "changed"
        away = folder.path.with_name("away")
        folder.path.rename(away)
        assert (await event(messages))[0] == "gone"
        away.rename(folder.path)
        assert (await event(messages))[0] == "back"

    asyncio.run(follow())


def test_who_comes_back_is_told_what_he_missed(make_site: Make, note: Note) -> None:
    folder = make_site().folder
    note(folder)

    async def come_back() -> None:
        messages = news(partial(look, folder), 3, asyncio.Event())  # what Last-Event-ID says
        assert await event(messages) == ("changed", folder.journal.stat().st_size)

    asyncio.run(come_back())


def test_it_ends_when_told_to(make_site: Make) -> None:
    folder = make_site().folder

    async def end() -> None:
        closing = asyncio.Event()
        closing.set()
        assert [message async for message in news(partial(look, folder), 0, closing)] == []

    asyncio.run(end())


@pytest.mark.parametrize("change", ["policy", "paused", "approved", "settings"])
def test_every_change_is_another_version(change: str, make_site: Make) -> None:
    site = make_site()
    before = look(site.folder).version
    acts: dict[str, Callable[[], object]] = {
        "policy": lambda: site.set_policy(runs=2),
        "paused": lambda: site.folder.paused.touch(),
        "approved": site.approve,
        "settings": lambda: site.folder.settings.write_text(site.folder.settings.read_text() + "\n"),
    }
    acts[change]()
    assert look(site.folder).version != before
    shutil.rmtree(site.folder.path)
    assert not look(site.folder).is_there
