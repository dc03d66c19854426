"""The text of a configuration file for supervisord: the supervisor's own sections, and how values are written.

supervisord's format has characters that cannot be quoted; what holds them is refused here rather than cut off there.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError

LOG_BYTES = "10MB"
"""A log is moved aside at this size."""
LOG_BACKUPS = "3"
"""So many of those are kept."""


@dataclass(frozen=True)
class Place:
    """Where a supervisor works: its own folder, its control socket, and the folder of all logs."""

    folder: Path
    socket: Path
    logs: Path

    def relative(self, path: Path) -> str:
        """Return a path as it is from `folder`, where supervisord works: such values need no quotes."""
        return os.path.relpath(path, self.folder)


def control_sections(place: Place) -> str:
    """Return the sections of the supervisor itself."""
    return section("unix_http_server", {"file": place.relative(place.socket), "chmod": "0700"}) + "\n".join(
        [
            section(
                "supervisord",
                {
                    "logfile": place.relative(place.logs / "supervisord.log"),
                    "logfile_maxbytes": LOG_BYTES,
                    "logfile_backups": LOG_BACKUPS,
                    "pidfile": "supervisord.pid",
                    "childlogdir": place.relative(place.logs),
                    "umask": "077",
                },
            ),
            # The factory's name is the same in all versions of supervisord.
            section(
                "rpcinterface:supervisor",
                {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
        ]
    )


def section(name: str, values: Mapping[str, str]) -> str:
    """Return one section. Raises UserError: a value that the format cannot hold."""
    lines = [f"{key} = {_plain(value, f'{key} of {name}')}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def environment_text(variables: Mapping[str, str]) -> str:
    """Return variables as one value. Raises UserError: quotes in one of them."""
    return ",".join(f'{name}="{_quotable(value, name)}"' for name, value in variables.items())


# Neither error shows the value, which may be a secret.
def _plain(value: str, what: str) -> str:
    """Return a value as the format takes it: % doubled; what would end the value early is refused."""
    for part, word in ((" ;", "' ;'"), (" #", "' #'"), ("\n", "a line's end"), ("\0", "a zero byte")):
        if part in value:
            raise UserError(f"{what} holds {word}, which supervisord cannot read; use folders whose names lack it")
    return value.replace("%", "%%")


def _quotable(value: str, name: str) -> str:
    if '"' in value or value.strip("'") != value:
        raise UserError(f"the variable {name} holds quotes, which supervisord cannot read; take them out")
    return value
