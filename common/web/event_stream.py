"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): messages as their bytes."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final  # JSON values

from starlette.responses import StreamingResponse

HEARTBEAT: Final = b": still here\n\n"
"""A comment, which a browser passes over; it finds a dead connection out."""
RETRY_MS: Final = 1000


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
