"""A whole coordinator of real processes: it starts, enrols, survives kills, and leaves nothing."""

import json
import os
import signal
import socket
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from common import supervision
from common.command import main
from common.errors import UserError
from common.leftovers import find_leftovers, is_alive
from common.supervision import Program
from common.watch import Check
from server.coordinator import processes
from server.coordinator.certificates import CertificateFolder
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise
from server.coordinator.ports import choose_ports
from server.coordinator.programs import link_check
from server.coordinator.registration import enroll, node_states, revoke, site_states
from server.coordinator.settings import read_settings

pytestmark = pytest.mark.processes
Make = Callable[..., Path]


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Path]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path = tmp_path / "server"
    initialise(path, hosts=["fl.example.org", "127.0.0.1"], port=port, listen="127.0.0.1")
    yield path
    processes.stop(path)


def wait_until(reached: Callable[[], bool], deadline_s: float = 60) -> None:
    end = monotonic() + deadline_s
    while not reached():
        assert monotonic() < end
        Event().wait(0.2)


def pids(coordinator: Path) -> dict[str, int]:
    return {each.name: each.pid for each in processes.status(coordinator) if each.pid is not None}


def answers(coordinator: Path, path: str) -> int:
    """Return the status that a site gets, who trusts the authority in join.toml."""
    folder = CoordinatorFolder(coordinator)
    context = ssl.create_default_context(cafile=folder.certificates / "ca.crt")
    url = f"https://127.0.0.1:{read_settings(folder.settings).port}{path}"
    try:
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_coordinator_from_start_to_stop(
    coordinator: Path, enrolment_file: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    enroll(coordinator, enrolment_file("early"))
    processes.start(coordinator)
    with pytest.raises(UserError, match="runs already"):
        processes.start(coordinator)
    with pytest.raises(SystemExit, match="0"):
        main(["server", "status", str(coordinator), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (said["healthy"], said["certificate_days_left"]) == (True, 397)
    assert {each["name"]: each["healthy"] for each in said["services"]} == {
        "superlink": True,
        "superexec": True,
        "door": True,
        "watch": None,
    }
    assert (answers(coordinator, "/health"), answers(coordinator, "/v1/control/list-runs")) == (200, 404)

    enroll(coordinator, enrolment_file("late"))
    found = {state.site.name: state for state in site_states(coordinator)}
    assert {name: state.node for name, state in found.items()} == {"early": "registered", "late": "registered"}
    node = revoke(coordinator, "late").node_id
    assert node_states(coordinator)[str(node)] == "unregistered"

    before = pids(coordinator)
    os.kill(before["superlink"], signal.SIGKILL)
    wait_until(lambda: pids(coordinator).get("superlink") not in {None, before["superlink"]})
    wait_until(lambda: all(each.healthy is not False for each in processes.status(coordinator)))
    assert node_states(coordinator) == {found["early"].site.node_id: "registered", str(node): "unregistered"}

    started = [*before.values(), *pids(coordinator).values()]
    processes.stop(coordinator)
    assert not any(map(is_alive, started))
    assert find_leftovers(str(CoordinatorFolder(coordinator).run.resolve())) == []
    assert processes.status(coordinator) == []
    with pytest.raises(SystemExit, match="2"):
        main(["server", "status", str(coordinator)])


def test_a_door_that_cannot_open_is_named_and_nothing_is_left(coordinator: Path) -> None:
    port = read_settings(CoordinatorFolder(coordinator).settings).port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(UserError, match=f"port {port} .*Address already"):
        processes.start(coordinator)
    assert find_leftovers(str(CoordinatorFolder(coordinator).run.resolve())) == []
    assert processes.status(coordinator) == []


def test_a_start_beside_another_changes_no_port(coordinator: Path) -> None:
    folder = CoordinatorFolder(coordinator)
    under_way, go = Event(), Event()

    def prepare() -> list[Program]:
        under_way.set()
        assert go.wait(30)
        return [Program("sleeper", ("sleep", "1000"))]

    with ThreadPoolExecutor() as pool:
        first = pool.submit(supervision.prepare_and_start, folder.run, prepare, logs=folder.logs)
        assert under_way.wait(30)
        second = pool.submit(processes.start, coordinator)
        Event().wait(0.5)  # so that the second is where it would write, were it not to wait
        go.set()
        first.result()
        with pytest.raises(UserError, match=r"runs? already"):
            second.result()
    assert not (folder.run / "ports.json").exists()


RESTARTED_ONCE = """
import http.server, pathlib, ssl, sys, time
began = pathlib.Path("began")
time.sleep(1.5)
if not began.exists():
    began.touch()
    sys.exit(1)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[2:])
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def begin(folder: CoordinatorFolder, *command: str) -> Check:
    """Start a command in the place of the SuperLink, and return how it is asked."""
    supervision.start(folder.run, [Program("superlink", command)], logs=folder.logs)
    return link_check(folder, choose_ports(folder))


def test_a_program_that_is_restarted_once_is_waited_for(coordinator: Path, tmp_path: Path) -> None:
    folder = CoordinatorFolder(coordinator)
    pair = CertificateFolder(folder.certificates).link
    script = tmp_path / "restarted_once.py"
    script.write_text(RESTARTED_ONCE)
    port = str(choose_ports(folder).link)
    check = begin(folder, sys.executable, str(script), port, str(pair.certificate), str(pair.key))
    processes.await_healthy(folder, [check])
    assert (folder.run / "began").exists()


def test_a_program_that_ends_again_and_again_is_not(coordinator: Path) -> None:
    folder = CoordinatorFolder(coordinator)
    began = monotonic()
    with pytest.raises(UserError, match="'superlink' does not come up"):
        processes.await_healthy(folder, [begin(folder, "sleep", "1.2")])
    assert monotonic() - began < processes.HEALTHY_S / 2
