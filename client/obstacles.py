"""What on this machine would make the next message fail, as `fedpeft site status` can see it: files, rights and room.

The trainer says the same in its log once a message has failed; nobody needs to wait for that.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from client.approval import approvals
from client.policy import read_policy
from client.settings import SiteSettings, read_settings
from client.site_folder import SiteFolder
from common.errors import UserError
from common.supervision import is_running

LEAST_FREE_BYTES = 64 * 2**20


def obstacles(folder: SiteFolder, *, least_free_bytes: int = LEAST_FREE_BYTES) -> list[str]:
    """Return one line for each. Raises UserError where the settings themselves cannot be read."""
    settings = read_settings(folder)
    return [*_unread(folder), *_missing(settings), *_unwritable(folder, least_free_bytes), *_changed(folder, settings)]


def _unread(folder: SiteFolder) -> Iterator[str]:
    readers: tuple[Callable[[], object], ...] = (lambda: read_policy(folder.policy), lambda: approvals(folder))
    for read in readers:
        try:
            read()
        except UserError as error:
            yield str(error)


def _missing(settings: SiteSettings) -> Iterator[str]:
    if settings.data is not None and not _is_readable(settings.data, Path.is_file):
        yield (
            f"the rows, {settings.data.name}, are not there or cannot be read by this user; put the file back, or "
            "correct data in site.toml"
        )
    for model in settings.base_models:
        if not _is_readable(model, Path.is_dir):
            yield f"the base model {model.name} is not there or cannot be read; put it back, or correct base_models"


def _is_readable(path: Path, is_kind: Callable[[Path], bool]) -> bool:
    try:
        return is_kind(path) and os.access(path, os.R_OK)
    except PermissionError:
        return False


def _unwritable(folder: SiteFolder, least_free_bytes: int) -> Iterator[str]:
    for place in (folder.state, folder.socket.parent):
        name = place.relative_to(folder.path)
        if not place.is_dir():
            continue  # the trainer makes it
        if not os.access(place, os.W_OK | os.X_OK):
            yield f"{name} of the site cannot be written to; is its disk read-only, or the folder another user's?"
            continue
        free = os.statvfs(place)
        if free.f_bavail * free.f_frsize < least_free_bytes:
            yield f"the disk of {name} is full: less than {least_free_bytes // 2**20} MiB are free; make room"


def _changed(folder: SiteFolder, settings: SiteSettings) -> Iterator[str]:
    """Tell of what a running SuperNode was started with; all other settings are read afresh for each message."""
    if not is_running(folder.run):
        return
    command = (folder.run / "supervisord.conf").read_text(encoding="utf-8", errors="replace")
    if f"--superlink {settings.coordinator.address} " not in command:
        yield "site.toml names another coordinator address than the SuperNode was started with; stop and start the site"
