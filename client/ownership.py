"""Whose a site is, and who runs it: what one OS user makes in the folder, another's trainer could not read.

Without this, an approval that root gave to a site of two users would be seen by root, and by no trainer.
"""

import os
import pwd
import shlex
from fcntl import LOCK_EX, LOCK_NB, flock

from client.site_folder import SiteFolder
from common.errors import UserError


def check_owner(folder: SiteFolder) -> None:
    """Raise UserError where the site's folder is another OS user's than the one who runs this."""
    owner = folder.path.stat().st_uid
    if owner == os.geteuid():
        return
    name = _name_of(owner)
    raise UserError(
        f"the site in {folder.path} is OS user {name}'s, whose trainer could not read what {_name_of(os.geteuid())} "
        f"makes there; run the same command as that user: runuser -u {shlex.quote(name)} -- fedpeft site ..."
    )


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


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
