"""Units that systemd itself accepts, and that say what each process may do."""

import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise
from server.coordinator.ports import read_ports
from server.coordinator.units import write_units
from server.front_door.settings import read_settings as read_door_settings

INNER = ("fedpeft-superlink.service", "fedpeft-superexec.service", "fedpeft-holder.service")


@pytest.fixture
def coordinator(tmp_path: Path) -> Path:
    path = tmp_path / "50%t own"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    initialise(path, hosts=["localhost"], port=port, listen="127.0.0.1")
    return path


@pytest.fixture
def units(coordinator: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in write_units(coordinator, user="daemon")}


def test_only_nginx_is_reached_from_outside(units: dict[str, str]) -> None:
    services = {name: text for name, text in units.items() if name.endswith(".service")}
    assert {name for name, text in services.items() if "IPAddressDeny=any" in text} == set(INNER)
    assert all("IPAddressAllow=localhost\n" in services[name] for name in INNER)
    for text in services.values():
        assert "\nUser=daemon\n" in text
        assert "\nRestart=always\n" in text
        assert "\nNoNewPrivileges=yes\n" in text
        assert "\nLimitCORE=0\n" in text
        assert "\nProtectSystem=strict\n" in text


def test_a_low_port_is_nginxs_one_privilege(tmp_path: Path) -> None:
    initialise(tmp_path / "low", hosts=["localhost"], port=443)
    made = {path.name: path.read_text() for path in write_units(tmp_path / "low", user="daemon")}
    privileged = {name for name, text in made.items() if "AmbientCapabilities=CAP_NET_BIND_SERVICE" in text}
    assert privileged == {"fedpeft-nginx.service"}


def test_a_folders_name_is_never_taken_for_a_specifier(units: dict[str, str]) -> None:
    for name, text in units.items():
        if name.endswith(".service"):
            assert text.count("50%%t own") == text.count("50%") > 0


def test_no_secret_is_in_a_unit(coordinator: Path, units: dict[str, str]) -> None:
    secret = CoordinatorFolder(coordinator).link_secret.read_bytes()
    assert not any(secret.hex() in text or "PRIVATE KEY" in text for text in units.values())


def test_the_holder_stands_on_the_loopback_where_nginx_looks_for_it(coordinator: Path, units: dict[str, str]) -> None:
    holder = read_door_settings(CoordinatorFolder(coordinator).units / "holder.json")
    ports = read_ports(CoordinatorFolder(coordinator))
    assert (holder.role, holder.host, holder.port) == ("holder", "127.0.0.1", ports.holder)
    assert holder.upstream == f"https://127.0.0.1:{ports.link}"
    assert f"127.0.0.1:{ports.holder}" in units["nginx.conf"]
    assert "keyfile" not in json.loads(units["holder.json"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_accepts_every_unit(coordinator: Path, units: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in units.items():
        if name.endswith(".service"):
            (folder / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, folder.glob("*.service"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "fedpeft-" in line]
    assert ours == []


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here")
def test_nginx_accepts_its_configuration(coordinator: Path, units: dict[str, str]) -> None:
    folder = CoordinatorFolder(coordinator)
    command = ["nginx", "-t", "-c", str(folder.units / "nginx.conf"), "-p", str(folder.run / "nginx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
