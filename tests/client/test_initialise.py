"""A new site: whole or absent, its secrets for its owner only, and an enrolment that the coordinator can check."""

import stat
from pathlib import Path

import pytest

from client.initialise import enrolment_path, initialise, read_join
from client.policy import Policy, read_policy
from client.sealing import read_storage_key
from client.settings import read_settings
from client.site_folder import SiteFolder
from common import keys
from common.enrolment import read_enrolment
from common.errors import UserError


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_a_site_is_all_there_and_its_own(join_file: Path, tiny_model: Path, tmp_path: Path) -> None:
    rows = tmp_path / 'rows of "1".csv'
    rows.write_text("a\n1\n")
    folder = SiteFolder(tmp_path / "deep" / "east")
    made = initialise(folder, site="east", join=join_file, data=rows, base_models=[tiny_model])
    join, settings = read_join(join_file), read_settings(folder)
    assert (settings.site, settings.rows, settings.base_models) == ("east", rows, (tiny_model,))
    assert (settings.coordinator.address, settings.coordinator.signing_key) == (join.address, join.signing_key)
    assert read_policy(folder.policy) == Policy(coordinators=(join.signing_key,))
    assert folder.coordinator_ca.read_text() == join.ca
    assert read_enrolment(enrolment_path(folder, "east")) == made
    assert made.signing_key == keys.public_text(keys.read_signing_key(folder.signing_key))
    assert made.transport_key == folder.transport_key.with_name("transport.pub").read_text().strip()
    assert len(read_storage_key(folder.storage_key)) == len(folder.runtime_secret.read_bytes()) == 32
    assert [path.name for path in folder.path.parent.iterdir()] == ["east"]


def test_nothing_secret_is_open_to_others(join_file: Path, tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path / "east")
    initialise(folder, site="east", join=join_file)
    found = modes(folder.path)
    folders = {name for name in found if (folder.path / name).is_dir()}
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {found[name] for name in folders} == {0o700}
    secret = {
        "keys/transport",
        "keys/signing.key",
        "keys/storage.key",
        "keys/runtime.secret",
        "site.toml",
        "policy.toml",
    }
    assert {found[name] for name in secret} == {0o600}


def test_two_sites_share_no_key(join_file: Path, tmp_path: Path) -> None:
    made = [initialise(SiteFolder(tmp_path / name), site="east", join=join_file) for name in ("a", "b")]
    assert made[0].signing_key != made[1].signing_key
    assert made[0].transport_key != made[1].transport_key
    secrets = [(tmp_path / name / "keys" / "storage.key").read_bytes() for name in ("a", "b")]
    assert secrets[0] != secrets[1]


def test_an_empty_folder_is_taken_and_a_full_one_is_not(join_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    initialise(SiteFolder(tmp_path / "empty"), site="east", join=join_file)
    before = modes(tmp_path)
    with pytest.raises(UserError, match="not empty"):
        initialise(SiteFolder(tmp_path / "empty"), site="east", join=join_file)
    assert modes(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"site": "../east"}, "no name of a site"),
        ({"site": ""}, "no name of a site"),
        ({"data": Path("nowhere.csv")}, "--data nowhere.csv"),
        ({"base_models": [Path("nowhere")]}, "--base-model nowhere"),
        ({"join": Path("nowhere.toml")}, r"cannot be read.*join\.toml"),
    ],
)
def test_a_mistake_leaves_nothing(changes: dict[str, object], found: str, join_file: Path, tmp_path: Path) -> None:
    given = {"site": "east", "join": join_file, **changes}
    with pytest.raises(UserError, match=found):
        initialise(SiteFolder(tmp_path / "site"), **given)  # type: ignore[arg-type] # one wrong each
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("localhost:1", "localhost", "address: expected HOST:PORT"),
        ("ed25519:", "rsa:", "signing_key: not a public signing key"),
        ("BEGIN CERTIFICATE", "BEGIN KEY", "ca: expected a certificate authority"),
        ("name = ", "nome = ", "nome: unknown key|name: missing"),
        ("name = ", "name == ", "is not TOML"),
        ("name = ", "#" * 70_000 + "\nname = ", "larger than"),
    ],
)
def test_a_wrong_join_file_is_told(old: str, new: str, found: str, join_file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "join.toml"
    wrong.write_text(join_file.read_text().replace(old, new))
    with pytest.raises(UserError, match=found) as caught:
        read_join(wrong)
    assert "\n" not in str(caught.value)


def test_a_coordinator_s_name_cannot_write_settings(join_file: Path, tmp_path: Path) -> None:
    evil = tmp_path / "join.toml"
    evil.write_text(join_file.read_text().replace("Test coordinator", r"x\ndevice = \"cuda:0\"\n"))
    folder = SiteFolder(tmp_path / "east")
    initialise(folder, site="east", join=evil)
    assert read_settings(folder).device == "cpu"
