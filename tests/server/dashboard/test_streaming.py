import asyncio
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from common.web.event_stream import news
from server.dashboard.folders import Source
from server.dashboard.live import Live
from server.dashboard.streaming import look


async def next_of(stream: AsyncIterator[bytes]) -> str:
    return (await asyncio.wait_for(anext(stream), 10)).decode()


def test_what_was_written_meanwhile_is_said_with_its_position(run_folder: Path) -> None:
    async def play() -> str:
        return await next_of(news(partial(look, Live(Source(run_folder, "simulated")), "long"), 0, asyncio.Event()))

    size = (run_folder / "events.jsonl").stat().st_size
    said = asyncio.run(play())
    assert said.startswith(f"id: {size}\nevent: changed\n")
    assert '"round":8' in said


def test_a_run_that_goes_on_goes_away_and_comes_back(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "long"
    shutil.copytree(run_folder, folder)
    content = (folder / "events.jsonl").read_bytes()
    cut = content.rindex(b"\n", 0, -1) + 1
    (folder / "events.jsonl").write_bytes(content[:cut])

    async def play() -> list[str]:
        stream = news(partial(look, Live(Source(tmp_path, "simulated")), "long"), cut, asyncio.Event())
        said = []

        async def after(step: object) -> None:
            waiting = asyncio.ensure_future(next_of(stream))
            await asyncio.wait([waiting], timeout=0.1)  # it has looked once
            assert not waiting.done()
            if callable(step):
                step()
            said.append(await waiting)

        def go_on() -> None:
            with (folder / "events.jsonl").open("ab") as file:
                file.write(content[cut:])

        await after(go_on)
        await after(lambda: folder.rename(tmp_path.parent / f"{tmp_path.name}-away"))
        await after(lambda: (tmp_path.parent / f"{tmp_path.name}-away").rename(folder))
        return said

    assert [text.splitlines()[1] for text in asyncio.run(play())] == ["event: changed", "event: gone", "event: back"]


def test_it_ends_when_the_server_does(run_folder: Path) -> None:
    async def play() -> list[bytes]:
        closing = asyncio.Event()
        closing.set()
        live = Live(Source(run_folder, "simulated"))
        return [each async for each in news(partial(look, live, "long"), 0, closing)]

    assert asyncio.run(play()) == []
