"""A SuperLink that only records what reaches it, and doors before it, all on the loopback with TLS."""

import asyncio
import http.client
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server import nginx
from server.front_door.running import build_server, listen
from server.front_door.settings import DoorSettings, Limits


@dataclass(frozen=True)
class Identity:
    """PEM files of an authority and of a server that it certified."""

    ca: Path
    cert: Path
    key: Path


def certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, host: str
) -> x509.Certificate:
    now, authority = datetime.now(UTC), key is signer
    usage = x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)
    names: list[x509.GeneralName] = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    names = names if host == "localhost" else names[:1]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA256())
    )


def make_identity(folder: Path, *, host: str = "localhost") -> Identity:
    folder.mkdir(parents=True)
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    made, pem = Identity(folder / "ca.crt", folder / "cert.pem", folder / "key.pem"), serialization.Encoding.PEM
    made.ca.write_bytes(certificate("authority", authority, authority, host).public_bytes(pem))
    made.cert.write_bytes(certificate(host, server, authority, host).public_bytes(pem))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    made.key.write_bytes(server.private_bytes(pem, form, plain))
    return made


@dataclass(frozen=True)
class Seen:
    """One request as it reached the SuperLink; whole is False where its body broke off."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    whole: bool


@dataclass
class Recorder:
    """The stand-in for a SuperLink: echoes bodies unless `reply` says otherwise."""

    seen: list[Seen] = field(default_factory=list)
    reply: Callable[[Seen], Response] = lambda seen: Response(seen.body, headers={"flwr-echo": "yes"})
    pause: asyncio.Event | None = None
    port: int = 0

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request, body, whole = Request(scope, receive), b"", True
        try:
            async for piece in request.stream():
                body += piece
        except ClientDisconnect:
            whole = False
        self.seen.append(Seen(request.method, scope["raw_path"].decode(), dict(request.headers), body, whole))
        if self.pause is not None:
            await self.pause.wait()
        await self.reply(self.seen[-1])(scope, receive, send)


@contextmanager
def serving(server: uvicorn.Server, listening: Any) -> Iterator[int]:
    """Run a server in a thread of its own."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listening.close()
        assert not thread.is_alive()


@contextmanager
def recording(recorder: Recorder, identity: Identity) -> Iterator[Recorder]:
    """Run the recorder behind TLS."""
    config = uvicorn.Config(
        recorder,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        ssl_certfile=identity.cert,
        ssl_keyfile=identity.key,
        timeout_graceful_shutdown=1,
    )
    with serving(uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))) as port:
        recorder.port = port
        yield recorder


@contextmanager
def nginx_running(folder: Path, port: int) -> Iterator[None]:
    """Run nginx in the foreground until the end of the block; it answers when the block begins."""
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder), "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 20
        while not answers(port):
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Doors:
    """Starts doors before a recorder, and clients that trust them."""

    def __init__(
        self, stack: ExitStack, recorder: Recorder, identities: tuple[Identity, Identity], folder: Path
    ) -> None:
        self.stack, self.recorder, self.folder = stack, recorder, folder
        self.link, self.public = identities

    def settings(self, **changes: Any) -> DoorSettings:
        plain = {
            "port": 0,
            "certfile": self.public.cert,
            "keyfile": self.public.key,
            "upstream": self.recorder.origin,
            "upstream_ca": self.link.ca,
            "polling": {"hold_s": 0},
        }
        return DoorSettings.model_validate({**plain, **changes})

    def start(self, **changes: Any) -> int:
        settings = self.settings(**changes)
        return self.stack.enter_context(serving(build_server(settings), listen(settings)))

    def start_nginx(self, *, limits: Limits | None = None, holder_port: int | None = None) -> int:
        """Start a real nginx with our configuration and return its port."""
        if shutil.which("nginx") is None:
            pytest.skip("there is no nginx on the PATH (Debian: apt-get install nginx-light)")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        folder = self.folder / f"nginx-{port}"
        folder.mkdir()
        text = nginx.render(
            folder=folder,
            host="127.0.0.1",
            port=port,
            certificate=self.public.cert,
            key=self.public.key,
            upstream_port=self.recorder.port,
            upstream_ca=self.link.ca,
            holder_port=holder_port,
            limits=limits,
            workers=1,
        )
        (folder / "nginx.conf").write_text(text)
        self.stack.enter_context(nginx_running(folder, port))
        return port

    def start_kind(self, kind: str, *, limits: Limits | None = None) -> int:
        """Start the door that this kind of test is about."""
        if kind == "nginx":
            return self.start_nginx(limits=limits)
        return self.start(limits=(limits or Limits()).model_dump())

    def open(self, **changes: Any) -> httpx.Client:
        return self.client(self.start(**changes), plain=changes.get("role") == "holder")

    def raw(self, port: int, method: str, target: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send a target as it is, which no usual client does, and return status and body."""
        trust = ssl.create_default_context(cafile=str(self.public.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=20)
        connection.putrequest(method, target)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def client(self, port: int, *, plain: bool = False) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.public.ca))
        client = httpx.Client(base_url=f"http{'' if plain else 's'}://127.0.0.1:{port}", verify=trust, timeout=20)
        return self.stack.enter_context(client)


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Identity, Identity]:
    folder = tmp_path_factory.mktemp("certificates")
    return make_identity(folder / "link"), make_identity(folder / "public")


@pytest.fixture
def recorder(identities: tuple[Identity, Identity]) -> Iterator[Recorder]:
    with recording(Recorder(), identities[0]) as running:
        yield running


@pytest.fixture
def doors(recorder: Recorder, identities: tuple[Identity, Identity], tmp_path: Path) -> Iterator[Doors]:
    with ExitStack() as stack:
        yield Doors(stack, recorder, identities, tmp_path)


@pytest.fixture
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.create_server(("127.0.0.1", 0)) as free:
            return int(free.getsockname()[1])

    return find
