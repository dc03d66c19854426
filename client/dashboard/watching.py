"""What is new at a site, as server-sent events: each has the byte position in the journal as its id."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool

from client.site_folder import SiteFolder
from common.files import digest_json
from common.web.event_stream import HEARTBEAT, message

LOOK_EVERY_S: Final = 0.5
HEARTBEAT_S: Final = 15.0


@dataclass(frozen=True)
class Look:
    """Whether the site's folder is there, the journal's size in bytes, and a text that is another after any change."""

    is_there: bool
    position: int
    version: str


def look(folder: SiteFolder) -> Look:
    """Look at what the pages are made of: names, sizes and times of files, no content."""
    files = (folder.journal, folder.step_log, folder.policy, folder.settings, folder.paused, folder.approved)
    stamps = [_stamp(path) for path in (*files, folder.ledger / "charges")]
    approved = [_stamp(path) for path in sorted(folder.approved.glob("[!.]*/approval.json"))]
    journal = stamps[0]
    version = digest_json([stamps, approved]).removeprefix("sha256:")[:16]
    return Look(stamps[3] is not None, journal[1] if journal else 0, version)


def _stamp(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns]


async def news(folder: SiteFolder, position: int, version: str, closing: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield `changed` after each change, `gone` and `back` when the site's folder is; a comment now and then.

    position, version: what the asker has seen; an empty version is any. It ends when `closing` is set.
    """
    known, was_there, quiet = Look(True, position, version), True, 0.0
    while not closing.is_set():
        found = await run_in_threadpool(look, folder)
        if found.is_there != was_there:
            was_there = found.is_there
            yield message("back" if was_there else "gone", {"position": known.position}, id=known.position)
        elif was_there and (found.position != known.position or known.version not in ("", found.version)):
            yield message("changed", {"position": found.position, "version": found.version}, id=found.position)
            quiet = 0.0
        if was_there:
            known = found
        quiet += LOOK_EVERY_S
        if quiet >= HEARTBEAT_S:
            quiet = 0.0
            yield HEARTBEAT
        await _pause(closing)


async def _pause(closing: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(closing.wait(), LOOK_EVERY_S)
    except TimeoutError:
        return
