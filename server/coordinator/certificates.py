"""Two authorities and the certificates that they sign, EC P-384, for a coordinator's two TLS servers.

The door's certificate faces the sites, which are given `ca.crt`. The link's is for the SuperLink on the loopback; its
authority is trusted by this coordinator's own processes only. Neither stands for the other.
A certificate lasts 398 days; `renew` makes new ones, and the sites need to do nothing.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import UserError
from common.files import write_bytes

LEAF_DAYS = 398
AUTHORITY_DAYS = 3650
LINK_HOSTS = ("localhost", "127.0.0.1")
_BACKDATED = timedelta(hours=1)
"""A site's clock may be slow."""
_MAX_COMMON_NAME = 64


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class CertificateFolder:
    """The four pairs of a coordinator."""

    path: Path

    @property
    def ca(self) -> Pair:
        """The authority that the sites trust."""
        return Pair(self.path / "ca.crt", self.path / "ca.key")

    @property
    def door(self) -> Pair:
        """The front door's."""
        return Pair(self.path / "door.pem", self.path / "door.key")

    @property
    def link_ca(self) -> Pair:
        """The authority of the loopback."""
        return Pair(self.path / "link-ca.crt", self.path / "link-ca.key")

    @property
    def link(self) -> Pair:
        """The SuperLink's."""
        return Pair(self.path / "link.pem", self.path / "link.key")


def make(folder: CertificateFolder, hosts: Sequence[str]) -> None:
    """Make both authorities and both certificates; `hosts` are names or addresses by which sites reach the door."""
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for authority, name in ((folder.ca, "fedpeft coordinator CA"), (folder.link_ca, "fedpeft loopback CA")):
        key = ec.generate_private_key(ec.SECP384R1())
        _write(authority, _authority(name, key), key)
    renew(folder, hosts)


def renew(folder: CertificateFolder, hosts: Sequence[str]) -> None:
    """Make new certificates with new keys from the same authorities."""
    _issue(folder.ca, folder.door, hosts)
    _issue(folder.link_ca, folder.link, LINK_HOSTS)


def days_left(path: Path, now: datetime) -> int:
    """Return the whole days until a certificate ends; negative once it has."""
    return (_read_certificate(path).not_valid_after_utc - now).days


def _issue(authority: Pair, leaf: Pair, hosts: Sequence[str]) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    issuer, signer = _read_certificate(authority.certificate), _read_key(authority.key)
    certificate = (
        _builder(hosts[0], issuer.subject, key.public_key(), signer.public_key(), days=LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .sign(signer, hashes.SHA384())
    )
    _write(leaf, certificate, key)


def _authority(name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        _builder(name, subject, key.public_key(), key.public_key(), days=AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA384())
    )


def _builder(
    name: str,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    *,
    days: int,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_COMMON_NAME])]))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now - _BACKDATED + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    write_bytes(pair.key, secret, mode=0o600)
    write_bytes(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise UserError(f"{path} is no certificate; `fedpeft server init` makes it") from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise UserError(
            f"{path} is no private key; it is needed to renew, get it back from where you keep it"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(f"{path} is a key of another kind than EC; take back the one of `fedpeft server init`")
    return key
