"""A real SuperLink with TLS and two registered SuperNodes on the loopback: the adapter of a simulation, bit by bit."""

import ipaddress
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.adapter_folder import read_adapter
from simulations.export_sites import export_sites
from simulations.run import run

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
SITES = ("east", "north")
ROUNDS = 2
APP = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "thin"
version = "1.0.0"
license = { file = "LICENSE" }
dependencies = ["flwr>=1.41.0"]
[tool.flwr.app]
publisher = "test"
fab-format-version = 1
flwr-version-target = "1.41.0"
[tool.flwr.app.components]
serverapp = "server.flower_app:app"
clientapp = "client.flower_app:app"
[tool.flwr.app.config]
bundle = ""
out = ""
resume = false
"""
SUPERLINK = """
[superlink]
default = "hospital"
[superlink.hospital]
address = "127.0.0.1:{port}"
root-certificates = "{ca}"
"""


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority and of a server on the loopback."""

    ca: Path
    server: Path
    key: Path

    def options(self) -> list[str]:
        files = {"--ssl-ca-certfile": self.ca, "--ssl-certfile": self.server, "--ssl-keyfile": self.key}
        return [text for option, path in files.items() for text in (option, str(path))]


def certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate: of an authority where it signs itself, else of a server on the loopback."""
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    authority, now = key is signer, datetime.now(UTC)
    usage = x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_certificates(folder: Path) -> Certificates:
    folder.mkdir()
    authority, server = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    made = Certificates(folder / "ca.crt", folder / "server.pem", folder / "server.key")
    made.ca.write_bytes(certificate("authority", authority, "authority", authority))
    made.server.write_bytes(certificate("localhost", server, "authority", authority))
    plain = serialization.NoEncryption()
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    made.key.write_bytes(server.private_bytes(encoding, form, plain))
    return made


def make_identity(path: Path) -> None:
    """Write the key pair of a SuperNode, as ssh-keygen would: `path` and `path.pub`."""
    key, ssh = ec.generate_private_key(ec.SECP384R1()), serialization.Encoding.OpenSSH
    form, plain = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    path.with_suffix(".pub").write_bytes(key.public_key().public_bytes(ssh, serialization.PublicFormat.OpenSSH))


def thin_app(folder: Path) -> Path:
    """An app bundle without code: both addresses are those of the installed package."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(APP)
    shutil.copy(ROOT / "LICENSE", folder)
    return folder


def start_superlink(processes: Any, certificates: Certificates, port: int) -> None:
    home = processes.folder / "flwr-home"
    home.mkdir()
    (home / "config.toml").write_text(SUPERLINK.format(port=port, ca=certificates.ca))
    options = ["--enable-supernode-auth", "--disable-runtime-dependency-installation", "--database", "state.db"]
    place = ["--host", "127.0.0.1", "--port", str(port)]
    processes.start("superlink", "flower-superlink", *place, *certificates.options(), *options)


def start_supernode(
    processes: Any, certificates: Certificates, *, site: str, settings: Path, superlink: int, port: int
) -> None:
    key = processes.folder / "keys" / site
    make_identity(key)
    processes.call("flwr", "supernode", "register", f"{key}.pub", "hospital", "--name", site)
    where = ["--superlink", f"127.0.0.1:{superlink}", "--root-certificates", str(certificates.ca)]
    own = ["--host", "127.0.0.1", "--port", str(port), *certificates.options()]
    identity = ["--auth-supernode-private-key", str(key), "--node-config", f'settings="{settings}"']
    processes.start(f"supernode-{site}", "flower-supernode", *where, *own, *identity)


def journal(settings: Path) -> list[tuple[str, str, int]]:
    """Return what left a site, or was refused: decision, kind of message, round."""
    lines = (settings.parent / "state" / "journal.jsonl").read_text().splitlines()
    return [(entry["decision"], entry["kind"], entry["round"]) for entry in map(json.loads, lines)]


def test_two_real_sites_make_the_adapter_of_the_simulation(
    tmp_path: Path, processes: Any, free_port: Callable[[], int], is_healthy: Callable[..., bool]
) -> None:
    simulated = tmp_path / "simulated"
    roster = f"federation.sites={json.dumps(SITES)}"
    expected = run("quick", out=simulated, rounds=ROUNDS, overrides=[roster], comparison=False).content
    settings = export_sites(simulated, tmp_path / "sites")
    certificates, port = make_certificates(tmp_path / "certificates"), free_port()

    start_superlink(processes, certificates, port)
    url = f"https://127.0.0.1:{port}"
    processes.wait_until(lambda: is_healthy(url, ca=certificates.ca), what="SuperLink", deadline_s=60)
    for site in SITES:
        start_supernode(processes, certificates, site=site, settings=settings[site], superlink=port, port=free_port())
    out = tmp_path / "out"
    config = f'bundle="{simulated / "bundle"}" out="{out}"'
    processes.call("flwr", "run", str(thin_app(tmp_path / "thin")), "hospital", "-c", config)
    processes.wait_until((out / "outcome.json").exists, what="outcome", deadline_s=240)

    outcome = json.loads((out / "outcome.json").read_text())
    assert outcome["digests"] == expected["digests"]
    assert read_adapter(out / "adapter").digests["adapter"] == expected["digests"]["adapter"]
    statuses = {site: p["status"] for r in outcome["rounds"] for site, p in r["participation"].items()}
    assert statuses == dict.fromkeys(SITES, "accepted")
    asked = [("released", "train", 1), ("released", "train", 2), ("released", "evaluate", 3)]
    assert [journal(settings[site]) for site in SITES] == [asked, asked]
    assert set(outcome["test"]) == set(SITES)
