"""What the front door is told: addresses, certificates, limits. A JSON file, written by the coordinator's start."""

import ipaddress
import json
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from common.errors import UserError
from common.study_file import first_error


class Limits(BaseModel):
    """How much a site may ask. Flower cuts objects at 5 MiB and gives up on an answer after 30 s.

    bytes_per_peer: what one peer may send at once; as much again in each `window_s` seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    body_bytes: int = Field(default=8 * 2**20, ge=1)
    connections: int = Field(default=512, ge=1)
    connections_per_peer: int = Field(default=64, ge=1)
    requests_per_peer: int = Field(default=32, ge=1)
    requests_per_s: float = Field(default=50.0, gt=0)
    burst: int = Field(default=200, ge=1)
    bytes_per_peer: int = Field(default=2 * 2**30, ge=1)
    window_s: float = Field(default=600.0, gt=0)
    header_timeout_s: float = Field(default=10.0, gt=0)
    request_timeout_s: float = Field(default=120.0, gt=0)
    upstream_timeout_s: float = Field(default=25.0, gt=0)

    @model_validator(mode="after")
    def _one_body_fits(self) -> Self:
        if self.bytes_per_peer < self.body_bytes:
            raise ValueError(f"bytes_per_peer must be at least body_bytes, {self.body_bytes}: no body would ever pass")
        return self


class Polling(BaseModel):
    """How pull-messages is held open: the SuperNode sleeps 3 s after an empty answer, so it is given none in haste.

    Each question costs the SuperLink some milliseconds. So the pace is quick for `quick_s` after any site has got or
    sent something, which is through all rounds of seconds, and else one question in `idle_interval_s`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    hold_s: float = Field(default=20.0, ge=0, lt=30)
    interval_s: float = Field(default=0.1, gt=0)
    idle_interval_s: float = Field(default=1.0, gt=0)
    quick_s: float = Field(default=15.0, ge=0)
    longest_interval_s: float = Field(default=3.0, gt=0)
    upstream_per_s: float = Field(default=20.0, gt=0)

    def interval(self, waiting: int, *, quiet_s: float) -> float:
        """Return the pause in seconds between two questions of one site.

        Args:
            waiting: how many sites are held.
            quiet_s: seconds since a site has got or sent something.

        >>> polling = Polling()
        >>> [polling.interval(waiting, quiet_s=1) for waiting in (1, 10, 1000)]
        [0.1, 0.5, 3.0]
        >>> [polling.interval(waiting, quiet_s=60) for waiting in (1, 10, 1000)]
        [1.0, 1.0, 3.0]
        """
        wanted = self.interval_s if quiet_s < self.quick_s else max(self.interval_s, self.idle_interval_s)
        return min(max(wanted, waiting / self.upstream_per_s), self.longest_interval_s)


class DoorSettings(BaseModel):
    """One front door.

    role: `door` faces the sites, with TLS; `holder` stands on the loopback behind nginx, without TLS, takes the Fleet
    paths, and counts what a peer asks and sends by the address that nginx names in X-Real-IP. upstream: the SuperLink,
    such as https://127.0.0.1:9092; its certificate is checked with `upstream_ca` and must name localhost. Relative
    paths count from the settings file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: Literal["door", "holder"] = "door"
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    certfile: Path | None = None
    keyfile: Path | None = None
    upstream: str
    upstream_ca: Path
    limits: Limits = Limits()
    polling: Polling = Polling()

    @field_validator("upstream")
    @classmethod
    def _is_an_origin(cls, text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise ValueError("expected https://HOST:PORT and nothing more")
        return text.rstrip("/")

    @model_validator(mode="after")
    def _has_what_its_role_needs(self) -> Self:
        if self.role == "door" and (self.certfile is None or self.keyfile is None):
            raise ValueError("a door needs certfile and keyfile; only a holder on the loopback does without")
        if self.role == "holder" and not _is_loopback(self.host):
            raise ValueError("a holder has no TLS, so its host must be a loopback address such as 127.0.0.1")
        return self

    def anchored(self, folder: Path) -> Self:
        """Return the settings with paths that count from `folder`."""
        paths = {name: getattr(self, name) for name in ("certfile", "keyfile", "upstream_ca")}
        return self.model_copy(update={name: folder / path for name, path in paths.items() if path is not None})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_settings(path: Path) -> DoorSettings:
    """Read a front door's settings file. Raises UserError with file, key and what would be right."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        settings = DoorSettings.model_validate(content).anchored(path.resolve().parent)
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"there is no settings file {path}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error, DoorSettings)}") from None
    for file in (settings.certfile, settings.keyfile, settings.upstream_ca):
        if file is not None and not file.is_file():
            raise UserError(f"{path} names {file}, but there is no such file; `fedpeft server init` makes it")
    return settings
