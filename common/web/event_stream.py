"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): what is new, as messages.

Each has as its id the byte position up to which the asker then knows the file that is watched.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final  # JSON values

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

HEARTBEAT: Final = b": still here\n\n"
"""A comment, which a browser passes over; it finds a dead connection out."""
RETRY_MS: Final = 1000
HEARTBEAT_S: Final = 15.0
LOOK_EVERY_S: Final = 0.4


@dataclass(frozen=True)
class Look:
    """What is watched, at one moment.

    is_there: whether its folder is. position: the byte after what was written. version: another one after any change.
    said: what a message tells of it.
    """

    is_there: bool
    position: int
    version: str
    said: Mapping[str, Any]


async def news(
    look: Callable[[], Look | None], position: int, closing: asyncio.Event, *, version: str = ""
) -> AsyncIterator[bytes]:
    """Yield `changed` after each change, `gone` and `back` when the folder is; a comment now and then.

    position, version: what the asker has seen; an empty version is any. It ends when the asker goes, `closing` is set,
    or `look`, which is called in a thread, returns None.
    """
    known, was_there, quiet = position, True, 0.0
    while not closing.is_set():
        found = await run_in_threadpool(look)
        if found is None:
            return
        if found.is_there != was_there:
            was_there = found.is_there
            yield message("back" if was_there else "gone", found.said, id=known)
        elif was_there and (found.position != known or version not in ("", found.version)):
            known, quiet = found.position, 0.0
            yield message("changed", found.said, id=known)
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


def message(name: str, data: Any, *, id: str | int | None = None) -> bytes:
    r"""Return one event; a browser that reconnects says the last `id` it had.

    >>> message("round", {"round": 3}, id=120)
    b'id: 120\nevent: round\ndata: {"round":3}\n\n'
    """
    lines = [] if id is None else [f"id: {id}"]
    lines += [f"event: {name}", f"data: {json.dumps(data, separators=(',', ':'), allow_nan=False)}"]
    return ("\n".join(lines) + "\n\n").encode()


def stream(messages: AsyncIterator[bytes]) -> StreamingResponse:
    """Return the answer that sends these as they come; the browser asks again a second after it was cut off."""

    async def with_retry() -> AsyncIterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        async for each in messages:
            yield each

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(with_retry(), media_type="text/event-stream", headers=headers)


def last_id(header: str | None) -> int | None:
    """Return the id in a `Last-Event-ID` header; None where there is none of ours.

    >>> last_id("120"), last_id("x"), last_id(None)
    (120, None, None)
    """
    text = (header or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
