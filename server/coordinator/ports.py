"""Loopback ports of a coordinator's processes: chosen once from those that are free, and kept while they are."""

import json
import os
import socket
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from common.errors import UserError
from common.files import write_json
from common.loopback import are_free, free_ports
from server.coordinator.folder import CoordinatorFolder


@dataclass(frozen=True)
class Ports:
    """link: SuperLink. superexec: its executor's health. holder: the long poll behind nginx."""

    link: int
    superexec: int
    holder: int


def choose_ports(folder: CoordinatorFolder) -> Ports:
    """Return the ports of the last start if all are free still, else others; and remember them."""
    known = _read(_file(folder))
    is_good = known is not None and are_free(*asdict(known).values())
    ports = known if known is not None and is_good else Ports(*free_ports(len(fields(Ports))))
    write_json(_file(folder), asdict(ports))
    return ports


def read_ports(folder: CoordinatorFolder) -> Ports:
    """Return the ports of the last start. Raises UserError: there was none."""
    ports = _read(_file(folder))
    if ports is None:
        raise UserError(f"the coordinator of {folder.path} was never started; fedpeft server start {folder.path}")
    return ports


def check_door(host: str, port: int) -> None:
    """Raise UserError where the front door could not wait at `host`:`port`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"the front door cannot listen on {host}, port {port} ({os.strerror(error.errno or 0)}); end what listens "
            "there, or change port or listen in server.toml (below 1024 only root may listen)"
        ) from None


def _file(folder: CoordinatorFolder) -> Path:
    return folder.run / "ports.json"


def _read(path: Path) -> Ports | None:
    try:
        return Ports(**{name: int(value) for name, value in json.loads(path.read_bytes()).items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
