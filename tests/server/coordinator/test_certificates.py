"""Certificates as TLS sees them: real handshakes, in memory."""

import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import UserError
from server.coordinator.certificates import LEAF_DAYS, CertificateFolder, Pair, days_left, make, renew

HOSTS = ("fl.hospital.example", "192.0.2.7", "2001:db8::7")


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateFolder:
    folder = CertificateFolder(tmp_path / "certs")
    make(folder, HOSTS)
    return folder


def shake_hands(server: Pair, authority: Path, host: str) -> None:
    """Raise ssl.SSLError unless a client that trusts `authority` accepts `server` as `host`."""
    answering = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    answering.load_cert_chain(server.certificate, server.key)
    asking = ssl.create_default_context(cafile=authority)
    asking.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname=host)
    service = answering.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        step(client.do_handshake)
        step(service.do_handshake)
    client.do_handshake()


def step(handshake: Callable[[], None]) -> None:
    try:
        handshake()
    except ssl.SSLWantReadError:
        return


@pytest.mark.parametrize("host", HOSTS)
def test_the_door_is_accepted_under_each_of_its_hosts(certificates: CertificateFolder, host: str) -> None:
    shake_hands(certificates.door, certificates.ca.certificate, host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_link_is_accepted_on_the_loopback(certificates: CertificateFolder, host: str) -> None:
    shake_hands(certificates.link, certificates.link_ca.certificate, host)


@pytest.mark.parametrize("host", ["other.example", "hospital.example", "192.0.2.8", "localhost"])
def test_another_host_is_refused(certificates: CertificateFolder, host: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(certificates.door, certificates.ca.certificate, host)


def test_neither_authority_vouches_for_the_other(certificates: CertificateFolder) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(certificates.link, certificates.ca.certificate, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(certificates.door, certificates.link_ca.certificate, HOSTS[0])


def test_renewed_certificates_are_new_and_accepted_by_the_same_authority(certificates: CertificateFolder) -> None:
    before = {path.name: path.read_bytes() for path in certificates.path.iterdir()}
    renew(certificates, ["new.example"])
    after = {path.name: path.read_bytes() for path in certificates.path.iterdir()}
    assert {name for name in before if before[name] == after[name]} == {
        "ca.crt",
        "ca.key",
        "link-ca.crt",
        "link-ca.key",
    }
    shake_hands(certificates.door, certificates.ca.certificate, "new.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(certificates.door, certificates.ca.certificate, HOSTS[0])


def test_keys_are_their_owners_and_of_p_384(certificates: CertificateFolder) -> None:
    for pair in (certificates.ca, certificates.door, certificates.link_ca, certificates.link):
        assert stat.S_IMODE(pair.key.stat().st_mode) == 0o600
        public = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert public.curve.name == "secp384r1"


def test_a_certificate_lasts_398_days_at_most(certificates: CertificateFolder) -> None:
    leaf = x509.load_pem_x509_certificate(certificates.door.certificate.read_bytes())
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=398)
    now = datetime.now(UTC)
    assert days_left(certificates.door.certificate, now) == LEAF_DAYS - 1
    assert days_left(certificates.door.certificate, now + timedelta(days=400)) < 0


def test_a_lost_authority_is_named(certificates: CertificateFolder) -> None:
    certificates.ca.key.unlink()
    with pytest.raises(UserError, match=r"ca\.key is no private key; it is needed to renew"):
        renew(certificates, HOSTS)
