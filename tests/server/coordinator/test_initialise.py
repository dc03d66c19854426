"""A new coordinator's folder: complete, closed, and never written over."""

import stat
import tomllib
from pathlib import Path

import pytest

from common.errors import UserError
from common.keys import public_text, read_signing_key
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise, renew_certificates
from server.coordinator.roster import Roster, read_roster
from server.coordinator.settings import read_settings

HOSTS = ("fl.example.org", "192.0.2.1")
OPEN_TO_ALL = {"join.toml", "ca.crt", "door.pem", "link-ca.crt", "link.pem"}


@pytest.fixture
def folder(tmp_path: Path) -> CoordinatorFolder:
    initialise(tmp_path / "new" / "server", hosts=HOSTS, name="Registry")
    return CoordinatorFolder(tmp_path / "new" / "server")


def test_join_toml_is_what_a_hospital_needs_and_holds_no_secret(folder: CoordinatorFolder) -> None:
    join = tomllib.loads(folder.join.read_text())
    assert {**join, "ca": join["ca"].strip()} == {
        "name": "Registry",
        "address": "fl.example.org:8443",
        "ca": (folder.certificates / "ca.crt").read_text().strip(),
        "signing_key": public_text(read_signing_key(folder.signing_key)),
    }
    assert "PRIVATE" not in folder.join.read_text()


def test_only_the_owner_enters_and_reads(folder: CoordinatorFolder) -> None:
    for path in [folder.path, *folder.path.rglob("*")]:
        expected = 0o700 if path.is_dir() else 0o644 if path.name in OPEN_TO_ALL else 0o600
        assert (path.name, oct(stat.S_IMODE(path.stat().st_mode))) == (path.name, oct(expected))


def test_settings_and_an_empty_roster_are_there(folder: CoordinatorFolder) -> None:
    assert read_settings(folder.settings).hosts == HOSTS
    assert read_roster(folder) == Roster()
    assert len(folder.link_secret.read_bytes()) == 32


def test_a_folder_that_holds_something_is_left_alone(folder: CoordinatorFolder) -> None:
    key = folder.signing_key.read_bytes()
    with pytest.raises(UserError, match="is not an empty folder"):
        initialise(folder.path, hosts=HOSTS)
    assert folder.signing_key.read_bytes() == key


@pytest.mark.parametrize(("hosts", "port"), [((), 8443), (("not a host",), 8443), (HOSTS, 70000)])
def test_what_cannot_be_makes_no_folder(tmp_path: Path, hosts: tuple[str, ...], port: int) -> None:
    with pytest.raises(UserError, match="server init: "):
        initialise(tmp_path / "it", hosts=hosts, port=port)
    assert not (tmp_path / "it").exists()


def test_renewal_keeps_what_the_hospitals_were_given(folder: CoordinatorFolder) -> None:
    join, door = folder.join.read_bytes(), (folder.certificates / "door.pem").read_bytes()
    renew_certificates(folder.path)
    assert folder.join.read_bytes() == join
    assert (folder.certificates / "door.pem").read_bytes() != door
