"""A coordinator's own settings, `server.toml`: how sites reach it, where it listens, how much a site may ask."""

import ipaddress
import json
import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from common.errors import UserError
from common.study_file import first_error
from server.front_door.settings import Limits

DEFAULT_PORT = 8443
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I
)


def _host(text: str) -> str:
    if not is_address(text) and not _HOST_NAME.fullmatch(text):
        raise ValueError("expected a host name such as fl.hospital.org, or an IP address")
    return text


def _address(text: str) -> str:
    if not is_address(text):
        raise ValueError("expected an IP address: 0.0.0.0 for all, 127.0.0.1 for this machine only")
    return text


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class TrackingSection(BaseModel):
    """to: where each run is tracked to, such as `mlflow=http://127.0.0.1:5000`, `tensorboard=DIR` or `csv`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    to: tuple[str, ...] = ()


class MetricsSection(BaseModel):
    """port: of this machine's loopback, at which Prometheus reads `/metrics`; None: none is open."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    port: int | None = Field(default=None, ge=1, le=65535)


class ServerSettings(BaseModel):
    """What a coordinator decides.

    hosts: names or addresses by which sites reach the front door, the first of which is in `join.toml`. listen: the
    address of this machine on which it waits. name: what the sites call this coordinator. limits: the front door's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1, max_length=200)
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(min_length=1)
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    listen: Annotated[str, AfterValidator(_address)] = "0.0.0.0"
    limits: Limits = Limits()
    tracking: TrackingSection = TrackingSection()
    metrics: MetricsSection = MetricsSection()

    @property
    def address(self) -> str:
        """Where sites find the door: host:port."""
        host = self.hosts[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def check_settings(content: object, *, where: str) -> ServerSettings:
    """Return the settings that `content` holds. Raises UserError with the key and what would be right."""
    try:
        return ServerSettings.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {first_error(error, ServerSettings)}") from None


def read_settings(path: Path) -> ServerSettings:
    """Read `server.toml`."""
    try:
        return check_settings(tomllib.loads(path.read_text(encoding="utf-8")), where=str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{path.parent} is no coordinator's folder; make one: fedpeft server init DIR --host NAME"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None


def settings_text(settings: ServerSettings) -> str:
    """Return the commented file that `fedpeft server init` writes."""
    limits = "\n".join(f"# {name} = {value}" for name, value in settings.limits.model_dump().items())
    return f"""\
# A coordinator's settings. After a change: fedpeft server stop DIR; fedpeft server start DIR

# What the sites call this coordinator.
name = {json.dumps(settings.name, ensure_ascii=False)}

# Names or addresses by which sites reach the front door. After a change: fedpeft server renew DIR
hosts = {json.dumps(settings.hosts)}
port = {settings.port}

# The address of this machine on which the front door waits; 0.0.0.0 is all of them.
listen = {json.dumps(settings.listen)}

# How much one site may ask of the front door; these are the values where nothing is said.
[limits]
{limits}

# Where each run's figures go besides its own folder; see docs/tracking.md.
# [tracking]
# to = ["mlflow=http://127.0.0.1:5000", "tensorboard=tensorboard", "csv"]

# For Prometheus: http://127.0.0.1:PORT/metrics, for this machine alone.
# [metrics]
# port = 9477
"""
