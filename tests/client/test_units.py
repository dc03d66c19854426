"""systemd units: the trainer has no network, what differs between the users, and paths with odd characters."""

import configparser
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from client.ports import Ports, choose_ports, read_ports
from client.processes import site_programs
from client.site_folder import SiteFolder
from client.units import permissions, unit, write_units
from common.errors import UserError
from common.keys import public_text
from common.systemd import HARDENING, NO_CAPABILITIES


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    found = SiteFolder(tmp_path / "a $ite 5%")
    for path in (found.transport_key, found.runtime_secret, found.coordinator_ca, found.policy):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    key = public_text(Ed25519PrivateKey.generate())
    found.settings.write_text(f'site = "north"\n[coordinator]\naddress = "c.example:1"\nsigning_key = "{key}"\n')
    return found


def parse(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have capitals
    parser.read_string(text)
    return parser


def units(folder: SiteFolder, group: str | None) -> dict[str, configparser.ConfigParser]:
    programs = site_programs(folder, Ports(1, 2, 3))
    return {p.name: parse(unit(folder, p, user=f"u-{p.name}", group=group)) for p in programs}


def test_only_the_trainer_has_no_network(folder: SiteFolder) -> None:
    service = {name: parser["Service"] for name, parser in units(folder, "g").items()}
    assert service["trainer"]["PrivateNetwork"] == "yes"
    assert service["trainer"]["RestrictAddressFamilies"] == "AF_UNIX"
    assert all("PrivateNetwork" not in service[name] for name in ("supernode", "gateway"))


def test_each_restarts_always_as_its_user(folder: SiteFolder) -> None:
    for name, parser in units(folder, "g").items():
        assert parser["Service"]["User"] == f"u-{name}"
        assert parser["Service"]["Group"] == "g"
        assert parser["Service"]["Restart"] == "always"
        assert parser["Service"]["LimitCORE"] == "0"


def test_each_has_the_whole_sandbox(folder: SiteFolder) -> None:
    for program in site_programs(folder, Ports(1, 2, 3)):
        lines = unit(folder, program, user="u", group="g").splitlines()
        assert {*HARDENING, *NO_CAPABILITIES, "UMask=0077"} <= set(lines)


def test_the_gateway_speaks_to_its_own_machine_only(folder: SiteFolder) -> None:
    service = {name: parser["Service"] for name, parser in units(folder, "g").items()}
    assert [name for name in service if "IPAddressDeny" in service[name]] == ["gateway"]
    assert service["gateway"]["IPAddressAllow"] == "localhost"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_accepts_every_unit_and_finds_little_exposed(folder: SiteFolder, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in write_units(folder, trainer_user="daemon", gateway_user="daemon"):
        if path.suffix == ".service":
            (copies / path.name).write_text(path.read_text())
    found = sorted(map(str, copies.iterdir()))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *found], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "fedpeft-" in line] == []
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    for path in found:
        said = subprocess.run([*command, path], capture_output=True, text=True, check=False).stdout
        level = re.search(r"exposure level for \S+: ([0-9.]+)", said)
        assert level is None or float(level[1]) < 2.5, said  # an older systemd-analyze knows no --offline


def test_a_path_is_quoted_as_systemd_reads_it(folder: SiteFolder) -> None:
    service = units(folder, None)["trainer"]["Service"]
    assert '/a $$ite 5%%"' in service["ExecStart"]  # $ begins a variable there, % a specifier
    assert '/a $ite 5%%/state"' in service["ReadWritePaths"]
    assert "Group" not in service


def test_neither_writes_where_the_other_does(folder: SiteFolder) -> None:
    found = units(folder, "g")
    trainer, gateway = (set(found[n]["Service"]["ReadWritePaths"].split('" "')) for n in ("trainer", "gateway"))
    assert not trainer & gateway
    assert "state" not in found["gateway"]["Service"]["ReadWritePaths"].rsplit("/", 1)[1]


def test_two_users_need_a_group(folder: SiteFolder) -> None:
    with pytest.raises(UserError, match="socket_group"):
        write_units(folder, trainer_user="a", gateway_user="b")
    written = write_units(folder, trainer_user="a", gateway_user="a")
    assert [path.name for path in written] == [
        "fedpeft-trainer.service",
        "fedpeft-supernode.service",
        "fedpeft-gateway.service",
        "permissions.sh",
    ]


def test_the_gateway_s_user_gets_no_key_of_the_trainer(folder: SiteFolder) -> None:
    given = [
        line for line in permissions(folder, trainer="t", gateway="w", group="g").splitlines() if "chown -R w" in line
    ]
    assert len(given) == 1
    assert "signing.key" not in given[0]
    assert "storage.key" not in given[0]
    assert "runtime.secret" in given[0]


def test_units_written_again_keep_the_ports_of_the_processes_that_run(folder: SiteFolder) -> None:
    ports = choose_ports(folder)
    with socket.create_server(("127.0.0.1", ports.runtime)):
        written = write_units(folder, trainer_user="a", gateway_user="a")
    assert read_ports(folder) == ports
    assert f'"{ports.runtime}"' in next(p for p in written if "supernode" in p.name).read_text()


def test_a_trainer_of_several_processes_has_a_loopback_of_its_own_and_no_more(folder: SiteFolder) -> None:
    text = folder.settings.read_text()
    folder.settings.write_text(text.replace('site = "north"', 'site = "north"\nprocesses = 2'))
    (trainer,) = (p for p in write_units(folder, trainer_user="one", gateway_user="one") if "trainer" in p.name)
    service = parse(trainer.read_text())["Service"]
    assert service["PrivateNetwork"] == "yes"
    assert service["RestrictAddressFamilies"].split() == ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"]
    assert service["PrivateDevices"] == "no"
