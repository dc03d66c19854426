"""A new site: keys, settings and policy in a folder of its own, and the enrolment that the coordinator gets."""

import secrets
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from pydantic import BaseModel, Field, ValidationError, field_validator

from client.policy import Policy
from client.policy_text import policy_text, toml_value
from client.sealing import make_storage_key
from client.settings import FROZEN, check_address, check_key
from client.site_folder import SiteFolder
from common import keys
from common.enrolment import Enrolment, write_enrolment
from common.errors import UserError
from common.files import write_bytes
from common.names import NAME
from common.study_file import first_error
from common.visible import visible

MAX_JOIN_BYTES = 64 * 1024
SECRET_BYTES = 32


class Join(BaseModel):
    """What a coordinator gives a hospital: its name, HOST:PORT, certificate authority (PEM) and public signing key."""

    model_config = FROZEN
    name: str = Field(min_length=1, max_length=200)
    address: str
    ca: str
    signing_key: str

    _address = field_validator("address")(check_address)
    _signing_key = field_validator("signing_key")(check_key)

    @field_validator("ca")
    @classmethod
    def _is_certificate(cls, text: str) -> str:
        try:
            x509.load_pem_x509_certificates(text.encode())
        except ValueError:
            raise ValueError("expected a certificate authority as PEM text") from None
        return text


def read_join(path: Path) -> Join:
    """Read a coordinator's join.toml. Raises UserError."""
    try:
        if path.stat().st_size > MAX_JOIN_BYTES:
            raise UserError(f"{path} is larger than {MAX_JOIN_BYTES} bytes; it is no join.toml")
        return Join.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); the coordinator gives you its join.toml") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deep for a join.toml; ask the coordinator for it again") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}; ask the coordinator for its join.toml again") from None
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error, Join)}; ask the coordinator for its join.toml again") from None


def initialise(
    folder: SiteFolder, *, site: str, join: Path, data: Path | None = None, base_models: Sequence[Path] = ()
) -> Enrolment:
    """Make a site in a new or empty folder; all of it is there, or nothing. Return what the coordinator gets.

    Raises:
        UserError: the folder is not empty; the site's name, join.toml, `data` or a base model is not what it should be.
    """
    coordinator = read_join(join)
    _check(folder.path, site, data, base_models)
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    beside = SiteFolder(folder.path.with_name(f".{folder.path.name}.{secrets.token_hex(6)}"))
    beside.path.mkdir(mode=0o700)
    try:
        enrolment = _make_keys(beside, site)
        write_bytes(beside.coordinator_ca, coordinator.ca.encode(), mode=0o600)
        write_bytes(beside.settings, settings_text(site, coordinator, data, base_models).encode(), mode=0o600)
        write_bytes(beside.policy, policy_text(Policy(coordinators=(coordinator.signing_key,))).encode(), mode=0o600)
        _protect(beside)
        beside.path.replace(folder.path)  # an empty folder is replaced too
    except BaseException:
        shutil.rmtree(beside.path, ignore_errors=True)
        raise
    return enrolment


def _check(folder: Path, site: str, data: Path | None, base_models: Sequence[Path]) -> None:
    if not NAME.fullmatch(site):
        raise UserError(
            f"--site {site!r} is no name of a site; expected 1 to 63 letters, digits, '.', '_' and '-', "
            "a letter or digit first"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there and not empty; a site is made in a new folder")
    if data is not None and not data.is_file():
        raise UserError(f"--data {data}: there is no such file")
    for model in base_models:
        if not model.is_dir():
            raise UserError(f"--base-model {model}: there is no such folder")


def _make_keys(folder: SiteFolder, site: str) -> Enrolment:
    transport = keys.make_transport_key(folder.transport_key)
    signing = keys.make_signing_key(folder.signing_key)
    make_storage_key(folder.storage_key)
    write_bytes(folder.runtime_secret, secrets.token_bytes(SECRET_BYTES), mode=0o600)
    enrolment = Enrolment(site=site, transport_key=transport, signing_key=keys.public_text(signing))
    write_enrolment(enrolment_path(folder, site), enrolment, signing)
    return enrolment


def enrolment_path(folder: SiteFolder, site: str) -> Path:
    """Return the file that the coordinator gets: SITE.enrol."""
    return folder.path / f"{site}.enrol"


def _protect(folder: SiteFolder) -> None:
    """Folders are for their owner only; what others may reach of `run` is the matter of who starts the processes."""
    for path in (folder.approved, folder.state, folder.run, folder.logs):
        path.mkdir()
    for path in (folder.path, *folder.path.iterdir()):
        if path.is_dir():
            path.chmod(0o700)


def settings_text(site: str, coordinator: Join, data: Path | None, base_models: Sequence[Path]) -> str:
    """Return site.toml with its comments."""
    rows = 'data = "rows.csv"' if data is None else f"data = {toml_value(str(data.resolve()))}"
    models = toml_value([str(path.resolve()) for path in base_models])
    return f"""# This site: where its rows and base models are, and how it computes. Nothing of this file is ever sent.
# Relative paths count from this folder.
site = {toml_value(site)}

# The rows: a CSV, TSV or Parquet file.
{"# " if data is None else ""}{rows}

# Folders of base models; the one whose digest a study names is used.
base_models = {models}

# "cpu", "cuda:0" (or another GPU's number), "mps" (Apple) or "auto"; threads count on the CPU.
device = "cpu"
threads = 1

# Figures of each training step in state/steps.jsonl, which stay here; false does without.
step_log = true

# The coordinator, {visible(coordinator.name)}, by its join.toml.
[coordinator]
address = {toml_value(coordinator.address)}
signing_key = {toml_value(coordinator.signing_key)}

[trainer]
# socket_group = "fedpeft"  # the group of the gateway, where it runs as another user than the trainer

# For Prometheus, by node_exporter's textfile collector; see docs/tracking.md.
# [metrics]
# textfile = "state/metrics/fedpeft.prom"
"""
