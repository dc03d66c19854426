"""The trainer's Unix socket: its name, its address however long the path is, who may use it, and the boot's token.

One OS user: folder 0700, socket and token 0600. With `socket_group`, trainer and gateway are two users that share a
group: folder 0750, socket and token 0660 and 0640.
"""

import grp
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

from client.site_folder import SiteFolder
from common.errors import UserError
from common.files import write_bytes

SERVICE: Final = "fedpeft.Trainer"
ANSWER: Final = "Answer"
STATUS: Final = "Status"
TOKEN_KEY: Final = "fedpeft-token"
ACTION_KEY: Final = "fedpeft-action"

MAX_FRAME_BYTES: Final = 512 * 2**20
"""Longest frame, either way: above what a policy lets out, below what would fill a machine."""

_MAX_PATH_BYTES: Final = 107
"""Of a Unix socket on Linux (`sun_path`, without its closing zero)."""
_O_PATH: Final = getattr(os, "O_PATH", None)


def size_options(max_bytes: int) -> list[tuple[str, int]]:
    """Return gRPC's options that bound a message, with room for its framing; both ends have them."""
    limit = max_bytes + 1024
    return [("grpc.max_receive_message_length", limit), ("grpc.max_send_message_length", limit)]


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Give gRPC's address of a socket; a path that is too long for a socket is reached through its open folder.

    The address is valid within the context.

    Raises:
        UserError: the folder is not there or is closed to this user, or the path is too long on this system.
    """
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield f"unix:{path}"
        return
    if _O_PATH is None:
        raise UserError(
            f"the path of the socket has {len(os.fsencode(path))} bytes, a Unix socket's has at most "
            f"{_MAX_PATH_BYTES}; move the site's folder to a shorter path"
        )
    descriptor = _open_folder(path.parent, _O_PATH)
    try:
        yield f"unix:/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def _open_folder(folder: Path, flags: int) -> int:
    try:
        return os.open(folder, flags | os.O_DIRECTORY)
    except OSError as error:
        raise UserError(f"the folder of the trainer's socket cannot be opened ({error.strerror})") from None


def prepare_folder(folder: SiteFolder, *, group: str | None = None) -> int:
    """Make the socket's folder as private as it should be, and return the descriptor of its lock.

    The lock is held until the process ends: a second trainer of a site would take the first one's socket away.

    Raises:
        UserError: a trainer of this site runs; the group does not exist or this user is not in it.
    """
    home = folder.socket.parent
    if home.is_symlink():
        raise UserError(
            f"{home.parent.name}/{home.name} of the site is a link; the trainer's socket needs a real folder"
        )
    home.mkdir(parents=True, exist_ok=True)
    give(home, 0o750 if group else 0o700, group)
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        flock(lock, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UserError("a trainer of this site runs already; stop it first: fedpeft site stop DIR") from None
    return lock


def trainer_runs(folder: SiteFolder) -> bool:
    """Whether a trainer of this site lives, whoever started it: it holds a lock until it ends."""
    try:
        descriptor = os.open(folder.socket.parent / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def remove_stale(path: Path) -> None:
    """Remove the socket that a killed trainer left; anything else of that name is an error."""
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise UserError(f"{path.name} in the folder of the trainer's socket is no socket; move it away")
    path.unlink(missing_ok=True)


def new_token(path: Path, *, group: str | None = None) -> str:
    """Write a new token, 256 random bits, and return it."""
    token = secrets.token_hex(32)
    write_bytes(path, token.encode(), durable=False, mode=0o600)
    give(path, 0o640 if group else 0o600, group)
    return token


def give(path: Path, mode: int, group: str | None) -> None:
    """Set who may use a file or folder of this user: its mode, and its group if there is one."""
    try:
        if group is not None:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        raise UserError(f"[trainer] socket_group = {group!r}: there is no such group on this machine") from None
    except PermissionError:
        raise UserError(f"[trainer] socket_group = {group!r}: the trainer's user is not in that group") from None
    path.chmod(mode)
