"""Making a coordinator's folder: keys, certificates, secret, settings, and the file that hospitals are given."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from common import keys
from common.errors import UserError
from common.files import write_bytes
from server.coordinator.certificates import CertificateFolder, make, renew
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.roster import Roster, write_roster
from server.coordinator.settings import DEFAULT_PORT, ServerSettings, check_settings, read_settings, settings_text

SECRET_BYTES = 32


def initialise(
    path: Path, *, hosts: Sequence[str], port: int = DEFAULT_PORT, listen: str = "0.0.0.0", name: str | None = None
) -> ServerSettings:
    """Make everything that a coordinator needs in the folder `path`, which must be new or empty; only its owner enters.

    Raises:
        UserError: the folder is not empty, a host or port is none.
    """
    content = {"name": name or (hosts[0] if hosts else ""), "hosts": list(hosts), "port": port, "listen": listen}
    settings = check_settings(content, where="server init")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} is not an empty folder; a coordinator's keys are never written over: name another")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    folder = CoordinatorFolder(path)
    for each in (folder.flower_home, folder.database.parent, folder.runs, folder.run, folder.logs):
        each.mkdir(mode=0o700)
    make(CertificateFolder(folder.certificates), settings.hosts)
    folder.signing_key.parent.mkdir(mode=0o700)
    keys.make_signing_key(folder.signing_key)
    write_bytes(folder.link_secret, secrets.token_bytes(SECRET_BYTES), mode=0o600)
    write_roster(folder, Roster())
    write_bytes(folder.settings, settings_text(settings).encode(), mode=0o600)
    _write_join(folder, settings)
    return settings


def renew_certificates(path: Path) -> ServerSettings:
    """Make new certificates for the hosts in the settings, and `join.toml` again; the authorities stay."""
    folder = CoordinatorFolder(path)
    settings = read_settings(folder.settings)
    renew(CertificateFolder(folder.certificates), settings.hosts)
    _write_join(folder, settings)
    return settings


def _write_join(folder: CoordinatorFolder, settings: ServerSettings) -> None:
    """Write what a hospital is given. It holds no secret; it must arrive unchanged, so fingerprints are compared."""
    ca = CertificateFolder(folder.certificates).ca.certificate.read_text(encoding="ascii")
    signing_key = keys.public_text(keys.read_signing_key(folder.signing_key))
    text = (
        "# What a hospital needs to join: fedpeft site init DIR --site NAME --coordinator join.toml\n"
        f"name = {json.dumps(settings.name, ensure_ascii=False)}\n"
        f"address = {json.dumps(settings.address)}\n"
        f"signing_key = {json.dumps(signing_key)}\n"
        f'ca = """\n{ca.strip()}\n"""\n'
    )
    write_bytes(folder.join, text.encode(), mode=0o644)
