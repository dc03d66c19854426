"""The processes of a site, for real: they come up, answer only who may ask, come back, and stop in order."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.protobuf.client import PROTOBUF_MEDIA_TYPE

from client.flower_runtime import open_runtime
from client.gateway import read_secret
from client.initialise import initialise
from client.ports import choose_ports, read_ports
from client.processes import site_programs, site_status, start_site, stop_site, supernode_command, watch_of
from client.site_folder import SiteFolder
from common import supervision
from common.errors import UserError
from common.keys import public_text
from common.leftovers import find_leftovers
from common.supervision import Program
from common.watch import read_config


def authority() -> str:
    """Return a certificate authority as PEM text."""
    key, name, now = ec.generate_private_key(ec.SECP384R1()), x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SiteFolder]:
    """A new site whose coordinator nobody reaches."""
    join = {"name": "c", "address": "127.0.0.1:9", "signing_key": public_text(Ed25519PrivateKey.generate())}
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**join, "ca": authority()}.items()]
    (tmp_path / "join.toml").write_text("\n".join(lines))
    found = SiteFolder(tmp_path / "site")
    initialise(found, site="north", join=tmp_path / "join.toml")
    yield found
    stop_site(found)


def wait_until_answered(folder: SiteFolder, pid_before: int, name: str = "trainer") -> None:
    end = monotonic() + 60
    while True:
        found = site_status(folder)
        if found["answers"][name] and found["processes"][name]["pid"] != pid_before:
            return
        assert monotonic() < end, found
        Event().wait(0.2)


def test_ports_are_kept(folder: SiteFolder) -> None:
    first = choose_ports(folder)
    assert first == read_ports(folder) == choose_ports(folder)
    assert len({first.runtime, first.health, first.gateway}) == 3


def test_the_watch_asks_each_of_the_three(folder: SiteFolder) -> None:
    choose_ports(folder)
    watched = read_config(Path(watch_of(folder).command[-1]))
    assert [check.program for check in watched.checks] == [
        each.name for each in site_programs(folder, read_ports(folder))
    ]


def test_no_secret_is_on_a_command_line(folder: SiteFolder) -> None:
    secret = read_secret(folder)
    for program in site_programs(folder, choose_ports(folder)):
        text = " ".join([*program.command, *program.environment.values()]).encode()
        assert secret not in text
        assert secret.hex().encode() not in text


def test_the_runtime_is_on_the_loopback_only(folder: SiteFolder) -> None:
    command = supernode_command(folder, choose_ports(folder))
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--isolation") + 1] == "process"
    assert "--insecure" not in command


def test_the_gateway_stops_first_and_the_trainer_last(folder: SiteFolder) -> None:
    programs = site_programs(folder, choose_ports(folder))
    assert [p.name for p in sorted(programs, key=lambda p: -p.priority)] == ["gateway", "supernode", "trainer"]


def test_a_folder_that_is_no_whole_site_is_told(folder: SiteFolder) -> None:
    folder.coordinator_ca.unlink()
    with pytest.raises(UserError, match=r"lacks coordinator/ca\.crt"):
        start_site(folder)


def test_a_site_that_does_not_run_has_a_status(folder: SiteFolder) -> None:
    found = site_status(folder)
    assert found == {
        "running": False,
        "processes": {},
        "answers": {"trainer": False, "supernode": False, "gateway": False},
        "trainer": None,
    }


@pytest.mark.processes
def test_a_site_starts_answers_comes_back_and_stops(folder: SiteFolder) -> None:
    start_site(folder)
    found = site_status(folder)
    assert found["answers"] == {"trainer": True, "supernode": True, "gateway": True}
    assert set(found["processes"]) == {"trainer", "supernode", "gateway", "watch"}
    assert found["trainer"]["site"] == "north"

    ports = read_ports(folder)
    with pytest.raises(UserError, match="runs already; fedpeft site status"):
        start_site(folder)
    assert read_ports(folder) == ports  # where the gateway finds the SuperNode that runs
    address = f"127.0.0.1:{ports.runtime}"
    body = AcquireTaskRequest(supported_task_types=["flwr-clientapp"]).SerializeToString()
    answer = httpx.post(
        f"http://{address}/v1/runtime/acquire-task",
        content=body,
        headers={"content-type": PROTOBUF_MEDIA_TYPE, "accept": PROTOBUF_MEDIA_TYPE},
        trust_env=False,
    )
    assert answer.status_code == 401  # another user of this machine, without the secret
    foreign = open_runtime(address, b"another secret, of 32 bytes or so")
    with foreign as runtime, pytest.raises(httpx.HTTPStatusError, match="401"):
        runtime.acquire()
    with open_runtime(address, read_secret(folder)) as runtime:
        assert runtime.acquire() is None

    pid = found["processes"]["trainer"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until_answered(folder, pid)

    stop_site(folder)
    assert site_status(folder)["running"] is False
    assert find_leftovers(str(folder.run.resolve())) == []


@pytest.mark.processes
def test_a_gateway_that_hangs_is_restarted(folder: SiteFolder) -> None:
    start_site(folder)
    hasten_watch(folder)
    pid = site_status(folder)["processes"]["gateway"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until_answered(folder, pid, "gateway")


def hasten_watch(folder: SiteFolder) -> None:
    """Let the watch look every second; its own patience is minutes."""
    path = folder.run / "watch.json"
    short = {"interval_s": 0.5, "patience_s": 1.0, "failures": 2, "grace_s": 3.0}
    path.write_text(json.dumps({**json.loads(path.read_text()), **short}))
    supervision.restart(folder.run, "watch")


@pytest.mark.processes
def test_a_supernode_that_does_not_stay_up_is_told_and_nothing_left(folder: SiteFolder) -> None:
    folder.transport_key.write_text("no key")
    with pytest.raises(UserError, match=r"supernode does not come up; has .* enrolled .* logs/supernode\.log"):
        start_site(folder)
    assert site_status(folder)["running"] is False
    assert find_leftovers(str(folder.run.resolve())) == []


@pytest.mark.processes
def test_a_start_beside_another_changes_no_port(folder: SiteFolder) -> None:
    under_way, go = Event(), Event()

    def prepare() -> list[Program]:
        under_way.set()
        assert go.wait(30)
        return [Program("sleeper", ("sleep", "1000"))]

    with ThreadPoolExecutor() as pool:
        first = pool.submit(supervision.prepare_and_start, folder.run, prepare, logs=folder.logs)
        assert under_way.wait(30)
        second = pool.submit(start_site, folder)
        Event().wait(0.5)  # so that the second is where it would write, were it not to wait
        go.set()
        first.result()
        with pytest.raises(UserError, match=r"runs? already"):
            second.result()
    assert not (folder.run / "ports.json").exists()
