"""What is started, with what: loopback only but for the door, secrets in files only, and a stop order."""

from pathlib import Path

import pytest

from common.quiet import violations
from common.supervision import Program
from common.watch import read_config
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise
from server.coordinator.ports import Ports
from server.coordinator.programs import checks, write_programs
from server.coordinator.settings import ServerSettings
from server.front_door.settings import read_settings

PORTS = Ports(link=20001, superexec=20002, holder=20003)


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return initialise(tmp_path / "server", hosts=["fl.example.org", "192.0.2.1"], port=8443)


@pytest.fixture
def programs(tmp_path: Path, settings: ServerSettings) -> dict[str, Program]:
    made = write_programs(CoordinatorFolder(tmp_path / "server"), settings, PORTS)
    return {each.name: each for each in made}


def option(program: Program, name: str) -> str:
    return program.command[program.command.index(name) + 1]


def test_the_superlink_knows_whom_to_let_in_and_installs_nothing(programs: dict[str, Program]) -> None:
    link = programs["superlink"]
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation"} <= set(link.command)
    assert "--insecure" not in link.command
    assert (option(link, "--host"), option(link, "--isolation")) == ("127.0.0.1", "process")
    assert option(link, "--superexec-auth-secret-file") == option(programs["superexec"], "--superexec-auth-secret-file")


def test_the_order_of_stopping_is_watch_door_executor_superlink(programs: dict[str, Program]) -> None:
    order = sorted(programs.values(), key=lambda program: -program.priority)
    assert [program.name for program in order] == ["watch", "door", "superexec", "superlink"]


def test_every_process_is_quiet_and_has_a_flower_home_of_its_own(tmp_path: Path, programs: dict[str, Program]) -> None:
    for program in programs.values():
        assert violations(program.environment) == {}
        assert program.environment["FLWR_HOME"] == str(tmp_path / "server" / "flwr-home")


def test_what_a_process_frees_goes_back_to_the_machine(programs: dict[str, Program]) -> None:
    """A ServerApp holds replies for moments; by itself glibc keeps blocks of up to 32 MB."""
    for name in ("superlink", "superexec"):  # the executor's environment is that of the ServerApps
        assert int(programs[name].environment["MALLOC_MMAP_THRESHOLD_"]) <= 2**17  # tensors of an adapter


def test_no_secret_is_an_argument_or_in_an_environment(tmp_path: Path, programs: dict[str, Program]) -> None:
    secret = CoordinatorFolder(tmp_path / "server").link_secret.read_bytes()
    for program in programs.values():
        text = "\0".join([*program.command, *program.environment.values()]).encode()
        assert secret not in text
        assert secret.hex().encode() not in text


def test_the_door_alone_is_reached_from_outside(programs: dict[str, Program], settings: ServerSettings) -> None:
    door = read_settings(Path(programs["door"].command[-1]))
    assert (door.role, door.host, door.port) == ("door", "0.0.0.0", 8443)
    assert (door.upstream, door.limits) == ("https://127.0.0.1:20001", settings.limits)
    assert door.upstream_ca.name == "link-ca.crt"
    addresses = [part for name in ("superlink", "superexec") for part in programs[name].command if "0.0.0.0" in part]
    assert addresses == []


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("0.0.0.0", "https://127.0.0.1:8443/health"),
        ("::", "https://[::1]:8443/health"),
        ("10.0.0.7", "https://10.0.0.7:8443/health"),
    ],
)
def test_the_door_is_asked_where_it_waits_under_its_own_name(
    tmp_path: Path, settings: ServerSettings, listen: str, url: str
) -> None:
    changed = settings.model_copy(update={"listen": listen})
    found = {check.program: check for check in checks(CoordinatorFolder(tmp_path / "server"), changed, PORTS)}
    assert (found["door"].url, found["door"].name) == (url, "fl.example.org")


def test_all_but_the_watch_are_watched(programs: dict[str, Program]) -> None:
    config = read_config(Path(programs["watch"].command[-1]))
    assert {check.program for check in config.checks} == set(programs) - {"watch"}
