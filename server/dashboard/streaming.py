"""What is new in a run, as server-sent events: each has the byte position in `events.jsonl` as its id."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.concurrency import run_in_threadpool

from common.web.event_stream import HEARTBEAT, message
from server.dashboard.live import Live, Snapshot

LOOK_EVERY_S: Final = 0.4
HEARTBEAT_S: Final = 15.0


async def news(live: Live, name: str, position: int, closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield `changed` when a run has gone on, `gone` and `back` when its folder has; a comment now and then.

    position: up to which the asker knows the events. It ends when the asker goes or `closing` is set.
    """
    known, was_there, version, quiet = position, True, "", 0.0
    while not closing.is_set():
        found = await run_in_threadpool(live.snapshot, name)
        if found is None:
            return
        is_there = found.reading.is_there
        if is_there != was_there:
            was_there = is_there
            yield message("back" if is_there else "gone", _said(found), id=known)
        elif is_there and (found.reading.position != known or version not in ("", found.version)):
            known = found.reading.position
            yield message("changed", _said(found), id=known)
            quiet = 0.0
        version, quiet = found.version, quiet + LOOK_EVERY_S
        if quiet >= HEARTBEAT_S:
            quiet = 0.0
            yield HEARTBEAT
        await _pause(closing)


async def _pause(closing: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(closing.wait(), LOOK_EVERY_S)
    except TimeoutError:
        return


def _said(found: Snapshot) -> dict[str, object]:
    view = found.reading.view
    return {
        "position": found.reading.position,
        "round": view.done,
        "rounds": view.rounds,
        "state": found.standing.word,
        "skipped": found.reading.skipped,
    }
