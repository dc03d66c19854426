"""Keys: Ed25519 for signatures, EC P-384 for Flower's SuperNodes, and how both look as text.

A public signing key is the text `ed25519:<base64 of its 32 bytes>`, a signature the base64 of its 64 bytes; a transport
key has OpenSSH's form, which is what Flower reads. Private keys lie in files that only their owner may read.
"""

import base64
import binascii
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from common.errors import UserError
from common.files import digest_bytes, write_bytes

_PREFIX = "ed25519:"
_PRIVATE = 0o600
_MAX_KEY_BYTES = 64 * 1024


class SignatureError(UserError):
    """A signature, or the key that it is checked with, is not what it should be."""


def make_signing_key(path: Path) -> Ed25519PrivateKey:
    """Write a new signing key to `path` (PEM, PKCS 8, 0600) and return it; a file that is there is an error."""
    _check_new(path)
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_bytes(path, content, mode=_PRIVATE)
    return key


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the key of a file that `make_signing_key` wrote. Raises UserError: no such key, or others may use it."""
    try:
        with path.open("rb") as file:
            mode, content = stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read(_MAX_KEY_BYTES)
        key = serialization.load_pem_private_key(content, password=None)
    except OSError as error:
        raise UserError(f"signing key {path.name!r} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(f"signing key {path.name!r} is not a PEM file of a private key") from None
    if mode & 0o077:
        raise UserError(f"signing key {path.name!r} is open to others (mode {mode:04o}): chmod 600 it")
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"signing key {path.name!r} is of another kind than Ed25519")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public half as text."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return _PREFIX + base64.b64encode(raw).decode()


def sign(key: Ed25519PrivateKey, content: bytes) -> str:
    """Return the signature over `content` as text."""
    return base64.b64encode(key.sign(content)).decode()


def verify(public: str, content: bytes, signature: str) -> None:
    """Raise SignatureError unless `signature` over `content` is by the key with this public half."""
    try:
        _public_key(public).verify(base64.b64decode(signature, validate=True), content)
    except (InvalidSignature, binascii.Error, ValueError):
        raise SignatureError(f"the signature is not by the key {fingerprint(public)}") from None


def check_public(public: str) -> str:
    """Return `public` if it is a public signing key, else raise SignatureError."""
    _public_key(public)
    return public


def _public_key(public: str) -> Ed25519PublicKey:
    try:
        if not public.startswith(_PREFIX):
            raise ValueError
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        raise SignatureError("not a public signing key; expected 'ed25519:' and the base64 of 32 bytes") from None


def fingerprint(public: str) -> str:
    """Return a short name of a public key, to be read out on the telephone: 8 groups of 4 hex digits.

    >>> fingerprint("ed25519:AAAA")
    '09db 28f2 cb4c f236 bcc4 75c4 6316 c41a'
    """
    digits = digest_bytes(public.strip().encode()).removeprefix("sha256:")[:32]
    return " ".join(digits[i : i + 4] for i in range(0, 32, 4))


def make_transport_key(path: Path) -> str:
    """Write a new EC P-384 key pair for a SuperNode, `path` (0600) and `path.pub`, and return the public half."""
    _check_new(path)
    key = ec.generate_private_key(ec.SECP384R1())
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    write_bytes(path, content, mode=_PRIVATE)
    write_bytes(path.with_name(f"{path.name}.pub"), f"{public}\n".encode())
    return public


def transport_pem(public: str) -> bytes:
    """Return an OpenSSH public key in PEM, the form in which Flower's grid gives the key of a node.

    Raises:
        SignatureError: it is no EC P-384 public key.
    """
    try:
        key = serialization.load_ssh_public_key(public.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureError("not a public key in OpenSSH's form") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise SignatureError("a transport key is EC P-384 (ecdsa-sha2-nistp384), this one is not")
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _check_new(path: Path) -> None:
    if path.exists():
        raise UserError(f"{path} exists already; a key is never written over: move it away first")
