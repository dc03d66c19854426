"""A site of two OS users, by the units and the script that `fedpeft site units` writes: a federation of two rounds.

The trainer has no network and a read-only disk but for its own folders; SuperNode and gateway may read nothing of the
hospital's. Root alone can make users, so elsewhere this is skipped.
"""

import os
import runpy
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from client.processes import site_status
from client.site_folder import SiteFolder
from common.study import Study
from server.coordinator import initialise as coordinator_files
from server.coordinator import processes
from server.coordinator.registration import site_states

FEDPEFT = str(Path(sys.executable).with_name("fedpeft"))
HERE = Path(__file__).parent
SYSTEMD = SimpleNamespace(**runpy.run_path(str(HERE / "as_systemd.py")))
LIVE = SimpleNamespace(**runpy.run_path(str(HERE / "holes" / "conftest.py")))
STUDY = (*LIVE.STUDY, "federation.rounds=2")
WHY_NOT = SYSTEMD.missing()

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "it is possible"),
]


@dataclass(frozen=True)
class Users:
    """Two users of this machine that were made for a test, and the group that both are in."""

    trainer: str
    gateway: str
    group: str


def call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def make_users(stack: ExitStack) -> Users:
    """Make users and group as docs/deploy.md does; they go with the stack."""
    mark = secrets.token_hex(3)
    made = Users(f"fpt{mark}", f"fpg{mark}", f"fps{mark}")
    call("groupadd", "--system", made.group)
    stack.callback(call, "groupdel", made.group)
    for user in (made.trainer, made.gateway):
        nowhere = ("--no-create-home", "--shell", "/usr/sbin/nologin")
        call("useradd", "--system", "--user-group", "--groups", made.group, *nowhere, user)
        stack.callback(call, "userdel", user)
    return made


@dataclass(frozen=True)
class Hospital:
    """A running site of two users in a federation with a live coordinator; `log` is what its processes said."""

    federation: Any
    users: Users
    logs: Path

    @property
    def site(self) -> SiteFolder:
        folder: SiteFolder = self.federation.site
        return folder

    def reads(self, user: str, path: Path) -> bool:
        """Whether a user can read a file, or list a folder."""
        command = ["ls", str(path)] if path.is_dir() else ["head", "-c", "1", str(path)]
        return SYSTEMD.look(user, self.users.group, command).returncode == 0


def write_units(site: SiteFolder, users: Users) -> None:
    """Do what docs/deploy.md says, in its order."""
    text = site.settings.read_text().replace('# socket_group = "fedpeft"', f'socket_group = "{users.group}"')
    site.settings.write_text(text)
    arguments = ["--trainer-user", users.trainer, "--gateway-user", users.gateway]
    call(FEDPEFT, "site", "units", str(site.path), *arguments)
    call("sh", str(site.path / "units" / "permissions.sh"))


def launch(site: SiteFolder, logs: Path, stack: ExitStack) -> None:
    logs.mkdir()
    for name in ("trainer", "supernode", "gateway"):
        unit = SYSTEMD.read_unit(site.path / "units" / f"fedpeft-{name}.service")
        stack.callback(end, SYSTEMD.launch(unit, log=logs / f"{name}.log"))


def end(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def hospital(tiny_model: Path, make_study: Callable[..., Study]) -> Iterator[Hospital]:
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="fp-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        home.chmod(0o755)
        users, study = make_users(stack), make_study(*STUDY)
        model = Path(shutil.copytree(tiny_model, home / "model"))
        coordinator, bundle = home / "c", home / "bundle"
        coordinator_files.initialise(coordinator, hosts=[LIVE.HOST], port=LIVE.free_port(), listen=LIVE.HOST)
        stack.callback(processes.stop, coordinator)
        processes.start(coordinator)
        site = LIVE.make_site(home, coordinator, study, model)
        LIVE.sign_and_approve(coordinator, site, study, model, bundle)
        rows = home / "rows.csv"
        shutil.chown(rows, users.trainer)
        rows.chmod(0o600)
        write_units(site, users)
        launch(site, home / "logs", stack)
        online = partial(lambda: [each.node for each in site_states(coordinator)] == ["online"])
        LIVE.Federation.wait_until(online, "site online", 60)
        yield Hospital(LIVE.Federation(coordinator, site, rows, bundle, None), users, home / "logs")


@pytest.fixture(scope="module")
def played(hospital: Hospital) -> Any:
    """The folder of a run that has ended, and how it has."""
    run = hospital.federation.play("two-users")
    return run, hospital.federation.await_end(run)


def test_two_rounds_end_with_an_adapter(hospital: Hospital, played: Any) -> None:
    run, ended = played
    logs = {path.name: path.read_text()[-2000:] for path in hospital.logs.iterdir()}
    assert ended.startswith("finished"), (ended, logs)
    assert (run.path / "adapter" / "adapter_model.safetensors").stat().st_size > 0
    assert hospital.site.journal.read_text().count("\n") >= 2


@pytest.mark.usefixtures("played")
def test_the_gateway_s_user_reads_nothing_of_the_hospital(hospital: Hospital) -> None:
    site, user = hospital.site, hospital.users.gateway
    (answers,) = (site.state / "studies").iterdir()
    forbidden = [
        hospital.federation.rows,
        site.settings,
        site.policy,
        site.signing_key,
        site.storage_key,
        site.state,
        site.journal,
        answers,
        site.approved,
        *site.approved.glob("*/*"),
        site.path / "units",
        site.logs,
    ]
    assert [path.name for path in forbidden if hospital.reads(user, path)] == []
    assert all(path.exists() and hospital.reads(hospital.users.trainer, path) for path in forbidden)


def test_the_trainer_s_user_reads_no_key_to_the_network(hospital: Hospital) -> None:
    site, users = hospital.site, hospital.users
    theirs = [site.transport_key, site.runtime_secret]
    assert [path.name for path in theirs if hospital.reads(users.trainer, path)] == []
    assert all(hospital.reads(users.gateway, path) for path in (*theirs, site.token))


def test_a_third_user_does_not_even_enter(hospital: Hospital) -> None:
    done = SYSTEMD.look("daemon", "daemon", ["ls", str(hospital.site.path)])
    assert "Permission denied" in done.stderr


def test_it_is_seen_to_run_and_root_approves_and_starts_nothing_there(hospital: Hospital) -> None:
    found = site_status(hospital.site)
    assert found["running"]
    assert found["answers"] == {"trainer": True, "supernode": True, "gateway": True}
    command = [FEDPEFT, "site", "status", str(hospital.site.path)]
    done = SYSTEMD.look(hospital.users.trainer, hospital.users.group, command)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "the coordinator answers"), done
    bundle = str(hospital.federation.bundle)
    for command in (["approve", str(hospital.site.path), bundle, "--yes"], ["start", str(hospital.site.path)]):
        done = subprocess.run([FEDPEFT, "site", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"runuser -u {hospital.users.trainer} -- fedpeft" in done.stderr
