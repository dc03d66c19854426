"""A hospital's own settings, `site.toml`: where its data and base models are, how it computes, who coordinates."""

import re
import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from client.site_folder import SiteFolder
from common import keys
from common.errors import UserError
from common.names import SiteName
from common.study_file import first_error

FROZEN = ConfigDict(extra="forbid", frozen=True)
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*):([0-9]{1,5})")


def check_address(text: str) -> str:
    """Return `text` if it is HOST:PORT, else raise ValueError.

    >>> check_address("fed.example.org:8443")
    'fed.example.org:8443'
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found[2]) < 2**16:
        raise ValueError("expected HOST:PORT, such as fed.example.org:8443")
    return text


def check_key(text: str) -> str:
    """Return `text` if it is a public signing key, else raise ValueError."""
    try:
        return keys.check_public(text)
    except keys.SignatureError as error:
        raise ValueError(str(error)) from None


class CoordinatorSection(BaseModel):
    """Where the coordinator's front door is (HOST:PORT), and the public key that its studies are signed with."""

    model_config = FROZEN
    address: str
    signing_key: str

    _address = field_validator("address")(check_address)
    _signing_key = field_validator("signing_key")(check_key)


class TrainerSection(BaseModel):
    """socket_group: the group that may reach the trainer's socket, where the gateway is another user's process."""

    model_config = FROZEN
    socket_group: str | None = Field(default=None, min_length=1)


class MetricsSection(BaseModel):
    """textfile: where the trainer writes its figures for node_exporter's textfile collector; None: nowhere."""

    model_config = FROZEN
    textfile: Path | None = None

    @field_validator("textfile")
    @classmethod
    def _is_read_by_it(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix != ".prom":
            raise ValueError("node_exporter reads files that end in .prom alone, such as state/metrics/fedpeft.prom")
        return path


class SiteSettings(BaseModel):
    """One site's settings file.

    site: its name in studies. data: its rows. base_models: folders with safetensors; the one whose digest a study names
    is used. device: torch's name, or auto. devices: instead, several GPUs that train together, one process on each; or
    processes: how many train together on the CPU. threads: of each training call on the CPU. step_log: whether each
    training step is written to state/steps.jsonl. Relative paths count from the site's folder.
    """

    model_config = FROZEN
    site: SiteName
    data: Path | None = None
    base_models: tuple[Path, ...] = ()
    device: str = "cpu"
    devices: tuple[str, ...] = ()
    processes: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1)
    step_log: bool = True
    coordinator: CoordinatorSection
    trainer: TrainerSection = TrainerSection()
    metrics: MetricsSection = MetricsSection()

    @model_validator(mode="after")
    def _one_kind_of_many(self) -> Self:
        if self.devices and (self.processes > 1 or "device" in self.model_fields_set):
            raise ValueError("devices stands alone; leave out device and processes")
        if len(set(self.devices)) != len(self.devices) or any(not each.startswith("cuda:") for each in self.devices):
            raise ValueError('devices are different GPUs with their numbers, such as ["cuda:0", "cuda:1"]')
        if self.processes > 1 and self.device != "cpu":
            raise ValueError('processes goes with device = "cpu"; for several GPUs name them as devices')
        return self

    @property
    def members(self) -> tuple[str, ...]:
        """The device of each process that trains."""
        return self.devices or (self.device,) * self.processes

    def anchored(self, folder: Path) -> Self:
        """Return the settings with paths that count from `folder`; ~ is the user's home."""
        data = None if self.data is None else folder / self.data.expanduser()
        models = tuple(folder / path.expanduser() for path in self.base_models)
        textfile = self.metrics.textfile
        metrics = MetricsSection(textfile=None if textfile is None else folder / textfile.expanduser())
        return self.model_copy(update={"data": data, "base_models": models, "metrics": metrics})

    @property
    def rows(self) -> Path:
        """Where the rows are. Raises UserError where the settings do not say it."""
        if self.data is None:
            raise UserError('site.toml names no rows; add a line such as data = "rows.csv" above its first [section]')
        return self.data


def read_settings(folder: SiteFolder) -> SiteSettings:
    """Read a site's settings. Raises UserError with file, key and what would be right."""
    path = folder.settings
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return SiteSettings.model_validate(content).anchored(folder.path.resolve())
    except FileNotFoundError:
        raise UserError(f"{folder.path} is no site: it has no {path.name}; `fedpeft site init` makes a site") from None
    except OSError as error:
        raise UserError(f"settings file {path} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error, SiteSettings)}") from None
