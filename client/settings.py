"""A hospital's own settings: where its data, base model and state are, how it computes, and its policy. Never sent."""

import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from client.gate import Policy
from common.errors import UserError
from common.metrics.evaluation import METRICS
from common.study import SiteName
from common.study_file import first_error


class PolicySection(BaseModel):
    """What may leave: the fields of `client.gate.Policy`, with its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_update_bytes: int = Field(default=Policy.max_update_bytes, ge=1)
    max_update_norm: float | None = Field(default=Policy.max_update_norm, gt=0)
    minimum_patients: int = Field(default=Policy.minimum_patients, ge=0)
    metrics: tuple[str, ...] = Policy.metrics
    release_histograms: bool = Policy.release_histograms
    runs: int = Field(default=Policy.runs, ge=1)

    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(names) - set(METRICS))
        if unknown:
            raise ValueError(f"there is no metric {unknown[0]!r}; there are: {', '.join(METRICS)}")
        return names

    def policy(self) -> Policy:
        """Return the policy as the gate takes it."""
        return Policy(**self.model_dump())


class SiteSettings(BaseModel):
    """One site's settings file.

    site: its name in the study. bundle: the prepared study. data: its rows. base_model: a folder with safetensors.
    device: torch's name, or auto. threads: of each training call on the CPU. state: a folder for answers, private
    tensors and the journal. Relative paths count from the settings file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    site: SiteName
    bundle: Path
    data: Path
    base_model: Path
    state: Path
    device: str = "cpu"
    threads: int = Field(default=1, ge=1)
    policy: PolicySection = PolicySection()

    def anchored(self, folder: Path) -> Self:
        """Return the settings with paths that count from `folder`; ~ is the user's home."""
        paths = {name: getattr(self, name) for name in ("bundle", "data", "base_model", "state")}
        return self.model_copy(update={name: folder / path.expanduser() for name, path in paths.items()})


def read_settings(path: Path) -> SiteSettings:
    """Read a settings file. Raises UserError with file, key and what would be right."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return SiteSettings.model_validate(content).anchored(path.resolve().parent)
    except FileNotFoundError:
        raise UserError(f"there is no settings file {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, expected a settings file in TOML") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error, SiteSettings)}") from None
