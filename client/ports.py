"""The loopback ports of a site's SuperNode and gateway, chosen once and kept: a restarted process finds them again."""

import json
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from client.site_folder import SiteFolder
from common.errors import UserError
from common.files import write_json
from common.loopback import are_free, free_ports

FILE = "ports.json"


@dataclass(frozen=True)
class Ports:
    """runtime: where the gateway finds the SuperNode. health, gateway: where SuperNode and gateway say how they are."""

    runtime: int
    health: int
    gateway: int


def read_ports(folder: SiteFolder) -> Ports:
    """Return the ports that were chosen. Raises UserError where none were."""
    try:
        return Ports(**json.loads(_path(folder).read_bytes()))
    except (OSError, ValueError, TypeError):
        raise UserError(
            f"the site has no {FILE} yet, or it is damaged; start the site: fedpeft site start DIR"
        ) from None


def choose_ports(folder: SiteFolder) -> Ports:
    """Return the ports of an earlier start if they are free, else new ones, which are written down.

    Between the choice and the start another program may take a port: then the SuperNode does not stay up, and the next
    start chooses anew.
    """
    try:
        found = read_ports(folder)
    except UserError:
        found = None
    if found is not None and are_free(*astuple(found)):
        return found
    chosen = Ports(*free_ports(len(fields(Ports))))
    write_json(_path(folder), asdict(chosen))
    return chosen


def kept_ports(folder: SiteFolder) -> Ports:
    """Return the ports that are written down, free or not, else new ones: the processes of a unit may be running."""
    try:
        return read_ports(folder)
    except UserError:
        return choose_ports(folder)


def _path(folder: SiteFolder) -> Path:
    return folder.run / FILE
