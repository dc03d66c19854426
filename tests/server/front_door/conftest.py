"""A SuperLink that only records what reaches it, and doors before it, all on the loopback with TLS."""

import asyncio
import ipaddress
import ssl
import threading
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

from server.front_door.running import build_server, listen
from server.front_door.settings import DoorSettings


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
    import socket

    with serving(uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))) as port:
        recorder.port = port
        yield recorder


class Doors:
    """Starts doors before a recorder, and clients that trust them."""

    def __init__(self, stack: ExitStack, recorder: Recorder, link: Identity, public: Identity) -> None:
        self.stack, self.recorder, self.link, self.public = stack, recorder, link, public

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

    def open(self, **changes: Any) -> httpx.Client:
        settings = self.settings(**changes)
        port = self.stack.enter_context(serving(build_server(settings), listen(settings)))
        return self.client(port, plain=settings.role == "holder")

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
def doors(recorder: Recorder, identities: tuple[Identity, Identity]) -> Iterator[Doors]:
    with ExitStack() as stack:
        yield Doors(stack, recorder, *identities)
