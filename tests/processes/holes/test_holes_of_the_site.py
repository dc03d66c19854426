"""From the coordinator's place, and from another user's on the hospital's machine: what a site does not do."""

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, Final

import httpx
import pytest
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import AcquireTaskRequest

from client.hospital import Hospital
from client.ports import read_ports
from client.site_folder import SiteFolder
from common import wire
from common.leftovers import find_leftovers
from common.preflight import MESSAGE_KIND
from common.thin_app import thin_app
from server.coordinator.flower_command import flower
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.registration import revoke

pytestmark = [pytest.mark.processes, pytest.mark.slow]
Federation = Any  # the fixture's own type lives in conftest.py, which tests do not import
Respond = Callable[[str, wire.Content], wire.Content]
PATIENT: Final = "PATIENT-123"

SERVER_OF_ANOTHER_APP: Final = """
import json
from pathlib import Path
from threading import Event
from time import monotonic
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp
app = ServerApp()

@app.main()
def main(grid, context):
    end = monotonic() + 60
    while not (nodes := list(grid.get_node_ids())) and monotonic() < end:
        Event().wait(0.2)  # the site may be on its way
    asked = [Message(RecordDict(), dst_node_id=node, message_type="train") for node in nodes]
    found = list(grid.send_and_receive(asked, timeout=60))
    Path(context.run_config["out"]).write_text(json.dumps([m.error.reason if m.has_error() else "" for m in found]))
"""
CLIENT_OF_ANOTHER_APP: Final = """
from pathlib import Path
Path({marker!r}).touch()
from flwr.clientapp import ClientApp
app = ClientApp()
"""


def write_other_app(folder: Path, marker: Path) -> Path:
    """Write an app that looks like ours, and brings code."""
    project = (thin_app(folder) / "pyproject.toml").read_text()
    project = project.replace("server.flower_app:app", "other_server:app").replace("client.gateway_app", "other_client")
    (folder / "pyproject.toml").write_text(project.replace('folder = ""', 'out = ""'))
    (folder / "other_server.py").write_text(SERVER_OF_ANOTHER_APP)
    (folder / "other_client.py").write_text(CLIENT_OF_ANOTHER_APP.format(marker=str(marker)))
    return folder


def test_a_foreign_bundle_is_not_unpacked(federation: Federation, tmp_path: Path) -> None:
    marker, out = tmp_path / "imported", tmp_path / "replies.json"
    app, before = write_other_app(tmp_path / "app", marker), len(federation.trainer.asked)
    flower(federation.coordinator, "run", str(app), "local", "-c", f"out={json.dumps(str(out))}")
    federation.wait_until(out.exists, "answer of the site")
    assert json.loads(out.read_text()) == ["APP_REFUSED"]
    assert not marker.exists()
    assert len(federation.trainer.asked) == before
    assert [path.name for path in federation.site.path.rglob("*other_client*")] == []


def test_the_supernodes_own_api_gives_nothing_without_the_secret(federation: Federation) -> None:
    address = f"http://127.0.0.1:{read_ports(federation.site).runtime}"
    with httpx.Client(base_url=address, timeout=30) as client:
        routes = client.get("/openapi.json").json()["paths"]
        opened = {path for path in routes for verb in routes[path] if opens(client, verb, path)}
    assert "/v1/runtime/acquire-task" in routes
    assert opened <= {"/health"}


def opens(client: httpx.Client, verb: str, path: str) -> bool:
    body = AcquireTaskRequest(supported_task_types=["flwr-clientapp"]).SerializeToString()
    headers = {"content-type": "application/protobuf", "authorization": "Bearer guess", "flwr-token": "guess"}
    content = body if verb == "post" else None
    return client.request(verb.upper(), path, content=content, headers=headers).status_code < 400


def test_no_secret_is_on_a_command_line_or_in_an_environment(federation: Federation) -> None:
    site, coordinator = federation.site, CoordinatorFolder(federation.coordinator)
    secrets = [site.runtime_secret, site.storage_key, site.token, coordinator.link_secret]
    shown = {form for path in secrets for form in forms(path.read_bytes())}
    pids = [pid for folder in (site.run, coordinator.run) for pid in find_leftovers(str(folder.resolve()))]
    assert len(pids) >= 6
    for pid in pids:
        said = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        assert not [form for form in shown if form in said], pid


def forms(secret: bytes) -> set[bytes]:
    """A secret as it is, and as the texts that it could be written in."""
    return {secret, secret.hex().encode(), base64.b64encode(secret), base64.urlsafe_b64encode(secret)}


def test_nobody_else_enters_a_folder_of_either_side(federation: Federation) -> None:
    """The files within may then be what they like; keys and what is kept of rows are 0600 all the same."""
    for folder in (federation.site.path, federation.coordinator):
        places = [path for path in folder.iterdir() if path.is_dir()]
        assert len(places) > 5
        assert {mode(path) & 0o022 for path in [folder, *places]} == {0}
        assert mode(folder) == 0o700
        keys = [*folder.glob("keys/*"), *folder.glob("certs/*.key"), *folder.glob("state/**/*.safetensors")]
        assert {mode(path) for path in keys if path.suffix != ".pub"} == {0o600}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fails_in_training(site: SiteFolder) -> Respond:
    """Pass what is asked before round 1, then raise what holds a patient's name."""

    def respond(action: str, content: wire.Content) -> wire.Content:
        if action == MESSAGE_KIND:
            return Hospital(site).respond(action, content)
        raise KeyError(f"{PATIENT} has no value")

    return respond


def fails_in_data(site: SiteFolder, rows: Path) -> Respond:
    rows.write_text(rows.read_text().replace('"yes"', f'"{PATIENT}"'))
    return Hospital(site).respond


def fails_in_study(site: SiteFolder) -> Respond:
    for study in site.approved.glob("*/study.json"):
        study.write_text(study.read_text().replace('"rounds"', f'"{PATIENT}"'))
    return Hospital(site).respond


@pytest.fixture
def failing(federation: Federation, request: pytest.FixtureRequest) -> Any:
    """Let the site fail at one place until the test ends."""
    site, rows = federation.site, federation.rows
    kept = {path: path.read_bytes() for path in [rows, *site.approved.glob("*/study.json")]}
    ways = {"data": lambda: fails_in_data(site, rows), "study": lambda: fails_in_study(site)}
    federation.trainer.work = ways.get(request.param, lambda: fails_in_training(site))()
    yield request.param
    for path, content in kept.items():
        path.write_bytes(content)
    federation.trainer.work = Hospital(site).respond


WORDS: Final = {"training": "TRAINING_FAILED", "data": "rows are not what", "study": "is not approved there"}


@pytest.mark.parametrize("failing", ["training", "data", "study"], indirect=True)
def test_no_text_of_a_failure_reaches_the_coordinator(federation: Federation, failing: str) -> None:
    """Logs, events, receipts, results and SuperLink's database: every byte of the coordinator is looked through."""
    said = federation.await_end(federation.play(f"fails-{failing}"))
    assert said.startswith("stopped")
    assert WORDS[failing] in said
    assert federation.holding(f"fails-{failing}")  # the search finds what is there
    assert federation.holding(PATIENT) == []


def test_a_revoked_site_is_cut_off_in_mid_training(federation: Federation) -> None:
    """The last test here, since the site is gone afterwards: its answer counts no more, and the run ends by itself."""
    begun, may_end = Event(), Event()

    def slow(action: str, content: wire.Content) -> wire.Content:
        if action == "train":
            begun.set()
            may_end.wait(120)
        return Hospital(federation.site).respond(action, content)

    federation.trainer.work = slow
    run = federation.play("revoked")
    try:
        assert begun.wait(90)
        revoke(federation.coordinator, "east")
    finally:
        may_end.set()
    question = PullMessagesRequest(node=Node(node_id=federation.node_id))
    with (
        federation.fleet(federation.site.transport_key) as (site, _),
        pytest.raises(httpx.HTTPStatusError, match="401"),
    ):
        site.PullMessages(question)
    said = federation.await_end(run, deadline_s=200)
    assert said.startswith("stopped")
    assert '"accepted"' not in said
