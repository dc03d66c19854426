"""Whose a folder of a site or of a coordinator is: what one OS user makes there, another's processes could not read.

Without this, an approval that root gave to a site of two users would be seen by root, and by no trainer.
"""

import os
import pwd
import shlex
from pathlib import Path

from common.errors import UserError


def check_owner(folder: Path) -> None:
    """Raise UserError where the folder is another OS user's than the one who runs this."""
    owner = folder.stat().st_uid
    if owner == os.geteuid():
        return
    name = _name_of(owner)
    raise UserError(
        f"{folder} is OS user {name}'s, whose processes could not read what {_name_of(os.geteuid())} makes there; run "
        f"the same command as that user: runuser -u {shlex.quote(name)} -- fedpeft ..."
    )


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
