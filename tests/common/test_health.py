"""Health as real servers say it: gRPC's service, and HTTPS with the right certificate only."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health, health_pb2_grpc

from common.health import grpc_health, http_health

NAME = "fl.example.org"


@pytest.fixture
def servicer() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def address(servicer: health.HealthServicer) -> Iterator[str]:
    with ThreadPoolExecutor(2) as workers:
        server = grpc.server(workers)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_a_grpc_server_is_healthy_while_it_says_so(address: str, servicer: health.HealthServicer) -> None:
    from grpc_health.v1.health_pb2 import HealthCheckResponse

    servicer.set("", HealthCheckResponse.SERVING)
    assert grpc_health(address)
    assert not grpc_health(address, service="unknown")
    servicer.set("", HealthCheckResponse.NOT_SERVING)
    assert not grpc_health(address)


def test_nobody_there_is_not_healthy(tmp_path: Path) -> None:
    assert not grpc_health(f"unix:{tmp_path / 'none.sock'}", patience_s=0.3)


class Answering(BaseHTTPRequestHandler):
    """Answers /health with 200, /moved with a redirect to it, and the rest with 503."""

    def do_GET(self) -> None:
        self.send_response({"/health": 200, "/moved": 302}.get(self.path, 503))
        self.send_header("Location", "/health")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path / "both.pem"
    path.write_bytes(
        built.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, form, plain)
    )
    return path


@pytest.fixture
def url(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_only_200_is_healthy(url: str, certificate: Path) -> None:
    assert http_health(f"{url}/health", certificate, name=NAME)
    assert not http_health(f"{url}/moved", certificate, name=NAME)
    assert not http_health(f"{url}/other", certificate, name=NAME)


def test_a_proxy_that_says_the_server_is_down_lives(url: str, certificate: Path) -> None:
    assert http_health(f"{url}/other", certificate, name=NAME, any_status=True)
    assert not http_health(f"{url}/other", certificate, any_status=True)


def test_another_name_or_authority_is_not_healthy(url: str, certificate: Path, tmp_path: Path) -> None:
    assert not http_health(f"{url}/health", certificate)
    assert not http_health(f"{url}/health", certificate, name="other.example.org")
    assert not http_health(f"{url}/health", tmp_path / "none.pem", name=NAME)
