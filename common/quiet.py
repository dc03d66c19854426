"""No library of ours talks to the network by itself, and none talks over our own output.

Flower, Ray, MLflow and Hugging Face read these variables when they are imported: `silence` runs before any of them is.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from types import MappingProxyType

NO_REPORTING: Mapping[str, str] = MappingProxyType(
    {
        "DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
)
"""Telemetry, update checks and installation at run time: off, whatever the study."""

OFFLINE: Mapping[str, str] = MappingProxyType(
    {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
)
"""No download from the Hugging Face hub; a study whose base model is `hub:` lifts these three, nothing else does."""

CALM: Mapping[str, str] = MappingProxyType(
    {
        "GIT_PYTHON_REFRESH": "quiet",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "MLFLOW_CONFIGURE_LOGGING": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray's warning asks for; we hide no GPU
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # else Ray tells of a dead worker on stdout, whatever its loggers are set to
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }
)
"""No progress bars or advice between our own lines, and no tokenizer threads beside torch's."""

QUIET: Mapping[str, str] = MappingProxyType({**NO_REPORTING, **OFFLINE, **CALM})
"""Everything that `silence` sets."""


def silence(environ: MutableMapping[str, str], *, hub: bool = False) -> None:
    """Put `QUIET` into `environ`, over what it says; with `hub`, downloads from the Hugging Face hub stay possible.

    >>> environ = {"HF_HUB_OFFLINE": "0"}
    >>> silence(environ)
    >>> environ["HF_HUB_OFFLINE"], environ["FLWR_TELEMETRY_ENABLED"]
    ('1', '0')
    """
    environ.update(QUIET)
    if hub:
        environ.update(dict.fromkeys(OFFLINE, "0"))


def violations(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables of `NO_REPORTING` and `OFFLINE` that have another value (None: unset)."""
    wanted = {**NO_REPORTING, **OFFLINE}
    return {name: environ.get(name) for name, value in wanted.items() if environ.get(name) != value}


def silence_libraries() -> None:
    """Quieten what was imported before `silence` ran, as in a notebook: logs below error, and progress bars.

    Imports nothing, so it may be called on a machine without torch.
    """
    for name in ("flwr", "huggingface_hub", "ray", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("transformers.utils.logging", "huggingface_hub.utils.tqdm"):
        disable = getattr(sys.modules.get(name), "disable_progress_bar", None)
        disable = disable or getattr(sys.modules.get(name), "disable_progress_bars", None)
        if disable is not None:
            disable()
