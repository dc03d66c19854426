"""server.toml: what it may say, and what is said of what it may not."""

from pathlib import Path

import pytest

from common.errors import UserError
from server.coordinator.settings import ServerSettings, read_settings, settings_text

WRONG = [
    ("port = 0", "port: Input should be greater than or equal to 1"),
    ('listen = "fl.example"', "listen: expected an IP address"),
    ("prot = 1", "prot: unknown key; did you mean 'port'"),
    ("[limits]\nbody_byte = 1", "limits.body_byte: unknown key; did you mean 'body_bytes'"),
    ("= 1", "is not TOML"),
]


def test_the_written_file_says_what_it_was_made_of(tmp_path: Path) -> None:
    settings = ServerSettings(name='The "Nord" registry', hosts=("fl.example.org", "192.0.2.1"), port=443, listen="::")
    (tmp_path / "server.toml").write_text(settings_text(settings))
    assert read_settings(tmp_path / "server.toml") == settings


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "server.toml"
    path.write_text(f'name = "n"\nhosts = ["a.example"]\n{line}\n')
    with pytest.raises(UserError, match=rf"server\.toml.*{said}".replace("[", r"\[")):
        read_settings(path)


@pytest.mark.parametrize("host", ["", "a b", "https://a.example", "a.example:8443", "-a.example", "a_b.example"])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    path = tmp_path / "server.toml"
    path.write_text(f'name = "n"\nhosts = ["{host}"]\n')
    with pytest.raises(UserError, match="expected a host name"):
        read_settings(path)


@pytest.mark.parametrize(("host", "address"), [("a.example", "a.example:8443"), ("2001:db8::1", "[2001:db8::1]:8443")])
def test_the_address_is_that_of_the_first_host(host: str, address: str) -> None:
    assert ServerSettings(name="n", hosts=(host, "other.example")).address == address


def test_a_folder_that_is_no_coordinators_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fedpeft server init DIR --host NAME"):
        read_settings(tmp_path / "server.toml")
