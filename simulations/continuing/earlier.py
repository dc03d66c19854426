"""What a phase begins with: the adapter that an earlier one ended with, and which studies came before.

    earlier/phases.json             the studies of the phases before, the oldest first, and digests of the adapter
    earlier/private/SITE.safetensors    a virtual site's own private tensors at the end of the phase before

The adapter itself is the bundle's initial one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.numpy
from pydantic import ValidationError

from common.errors import CheckpointError
from common.files import write_bytes, write_json
from common.state import AdapterState
from common.study import Study
from common.tensor_files import to_safetensors
from simulations.folder import RunFolder

_PHASES = "phases.json"


@dataclass(frozen=True)
class Earlier:
    """The phases before, the oldest first, and the digests of the adapter that the last one ended with."""

    studies: tuple[Study, ...]
    digests: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """Return a JSON-able table."""
        return {"studies": [study.model_dump(mode="json") for study in self.studies], "digests": dict(self.digests)}


@dataclass(frozen=True)
class Beginning:
    """The end of the phase before: shared tensors, and private ones of each virtual site that has such."""

    shared: AdapterState
    private: Mapping[str, AdapterState]
    earlier: Earlier


def write_beginning(folder: RunFolder, beginning: Beginning) -> None:
    """Leave in a new run's folder what it cannot be resumed or judged without."""
    for site, tensors in beginning.private.items():
        write_bytes(_private(folder, site), to_safetensors(tensors), mode=0o600)
    write_json(folder.earlier / _PHASES, beginning.earlier.to_json())


def read_earlier(folder: RunFolder) -> Earlier | None:
    """Return the phases before the run in `folder`; None where it is a first one. Raises CheckpointError."""
    try:
        content = json.loads((folder.earlier / _PHASES).read_bytes())
        studies = tuple(Study.model_validate(each) for each in content["studies"])
        return Earlier(studies, {name: str(digest) for name, digest in content["digests"].items()})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError, AttributeError, ValidationError) as error:
        raise CheckpointError(
            f"{folder.earlier / _PHASES} cannot be read ({type(error).__name__}); begin the phase again"
        ) from None


def read_inherited(folder: RunFolder, site: str) -> AdapterState:
    """Return the private tensors that a virtual site begins with; none where it brings none. Raises CheckpointError."""
    path = _private(folder, site)
    try:
        return safetensors.numpy.load(path.read_bytes())
    except FileNotFoundError:
        return {}
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} cannot be read ({type(error).__name__}); begin the phase again") from None


def _private(folder: RunFolder, site: str) -> Path:
    return folder.earlier / "private" / f"{site}.safetensors"
