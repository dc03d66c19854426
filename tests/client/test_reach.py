"""What a site says of its coordinator: it answers, or what stands in the way."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from time import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.reach import ANSWERS, coordinator_state
from client.site_folder import SiteFolder
from common.keys import public_text

Make = Callable[..., SiteFolder]


def certificate(folder: Path, address: str = "127.0.0.1") -> Path:
    """Write a certificate that signs itself, with its key, and return its path."""
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=True)
    private = serialization.PrivateFormat.PKCS8
    folder.mkdir()
    (folder / "own.pem").write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    )
    return folder / "own.pem"


@contextmanager
def door(pem: Path, status: int = 200, *, ahead_s: float = 0) -> Iterator[int]:
    """Answer GET /health over TLS, by a clock that is `ahead_s` ahead; give the port."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((time() if timestamp is None else timestamp) + ahead_s)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Make:
    """Make a site that trusts the authority in a file, and has its coordinator at a port."""

    def make(port: int, ca: bytes) -> SiteFolder:
        folder = SiteFolder(tmp_path / "site")
        folder.coordinator_ca.parent.mkdir(parents=True)
        folder.coordinator_ca.write_bytes(ca)
        key = public_text(Ed25519PrivateKey.generate())
        text = f'site = "north"\n[coordinator]\naddress = "127.0.0.1:{port}"\nsigning_key = "{key}"\n'
        folder.settings.write_text(text)
        return folder

    return make


def test_the_right_coordinator_answers(tmp_path: Path, site: Make) -> None:
    pem = certificate(tmp_path / "a")
    with door(pem) as port:
        assert coordinator_state(site(port, pem.read_bytes())) == ANSWERS


def test_a_clock_that_would_be_refused_is_told(tmp_path: Path, site: Make) -> None:
    pem = certificate(tmp_path / "a")
    with door(pem, ahead_s=600) as port:
        assert "this machine's clock is 10 min behind the coordinator's" in coordinator_state(
            site(port, pem.read_bytes())
        )


def test_another_authority_or_name_is_refused_with_the_reason(tmp_path: Path, site: Make) -> None:
    ours, other = certificate(tmp_path / "a"), certificate(tmp_path / "b")
    with door(other) as port:
        assert "is refused (self-signed certificate): another" in coordinator_state(site(port, ours.read_bytes()))


def test_a_certificate_of_another_machine_is_refused(tmp_path: Path, site: Make) -> None:
    pem = certificate(tmp_path / "a", address="192.0.2.1")
    with door(pem) as port:
        assert "IP address mismatch" in coordinator_state(site(port, pem.read_bytes()))


def test_what_is_down_is_said_to_be_tried_again(tmp_path: Path, site: Make, free_tcp_port: int) -> None:
    found = coordinator_state(site(free_tcp_port, certificate(tmp_path / "a").read_bytes()))
    assert "cannot be reached (ConnectError); the site goes on trying" in found


def test_a_door_before_a_superlink_that_is_down(tmp_path: Path, site: Make) -> None:
    pem = certificate(tmp_path / "a")
    with door(pem, status=502) as port:
        assert "answers with status 502" in coordinator_state(site(port, pem.read_bytes()))


def test_a_damaged_authority_is_told(site: Make) -> None:
    assert "is no certificate that can be read" in coordinator_state(site(9, b"no certificate"))
