"""From a site's place: who knows the door's address and its authority, and has keys of its own, tries each way in."""

import os
import socket
import ssl
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from client.initialise import enrolment_path, initialise
from client.ports import choose_ports
from client.processes import supernode_command
from client.site_folder import SiteFolder
from common.keys import make_transport_key
from common.quiet import QUIET
from server.coordinator import initialise as coordinator_files
from server.coordinator.registration import enroll
from server.front_door.allowed import ALLOWED

pytestmark = [pytest.mark.processes, pytest.mark.slow]
Federation = Any  # the fixture's own type lives in conftest.py, which tests do not import
HOST = "127.0.0.1"


def test_of_all_that_the_superlink_can_do_a_site_reaches_ten_paths_and_health(federation: Federation) -> None:
    with federation.client(link=True) as behind:
        paths = {*behind.get("/openapi.json").json()["paths"], "/docs", "/redoc", "/openapi.json", "/"}
    assert len(paths) > 60
    assert set(ALLOWED) <= paths
    assert {path for path in ALLOWED if not path.startswith("/v1/fleet/")} == {"/health"}
    assert not {"/v1/fleet/register-node", "/v1/fleet/unregister-node"} & set(ALLOWED)
    assert {path.split("/")[2] for path in paths if path.startswith("/v1/")} >= {"control", "runtime", "fleet"}
    tricks = ["/v1/fleet/../control/list-runs", "/v1/fleet//../control/list-runs", "/v1/fleet/%2e%2e/control/list-runs"]
    for path in [*(paths - set(ALLOWED)), *tricks, "//v1/control/list-runs", "/v1/fleet/get-run?x=/v1/control"]:
        for method in ("GET", "POST"):
            found = federation.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert found.startswith(b"HTTP/1.1 404"), path
    with federation.client() as client:
        assert client.get("/health").status_code == 200


def public_bytes(key: Path) -> bytes:
    public: Any = serialization.load_ssh_public_key(key.with_name(f"{key.name}.pub").read_bytes())
    return public_key_to_bytes(public)


def status_of(call: Callable[..., Any], *arguments: Any) -> int:
    try:
        call(*arguments)
    except httpx.HTTPStatusError as error:
        return error.response.status_code
    return 200


def test_a_key_that_nobody_enrolled_gets_in_nowhere(federation: Federation, tmp_path: Path) -> None:
    key = tmp_path / "transport"
    make_transport_key(key)
    question = PullMessagesRequest(node=Node(node_id=federation.node_id))
    with federation.fleet(key) as (stranger, _):
        assert status_of(stranger.ActivateNode, activation(key)) >= 400
        assert status_of(stranger.PullMessages, question) == 401
        assert status_of(stranger.ActivateNode, activation(federation.site.transport_key)) == 401
    with federation.client() as nobody:
        assert nobody.post("/v1/fleet/pull-messages", content=question.SerializeToString()).status_code >= 400


def test_an_enrolled_site_is_itself_and_no_other(federation: Federation, tmp_path: Path) -> None:
    """With a good key of its own it can neither take another's messages, nor answer, nor sign off in its name."""
    site, victim = SiteFolder(tmp_path / "mallory"), Node(node_id=federation.node_id)
    initialise(site, site="mallory", join=federation.coordinator / "join.toml")
    enrolled = enroll(federation.coordinator, enrolment_path(site, "mallory"))
    own = Node(node_id=int(enrolled.node_id or 0))
    beat = SendNodeHeartbeatRequest(node=own, heartbeat_interval=30)
    with federation.fleet(site.transport_key) as (mallory, _):
        assert status_of(mallory.ActivateNode, activation(site.transport_key)) == 200
        assert status_of(mallory.SendNodeHeartbeat, beat) == 200
        assert status_of(mallory.ActivateNode, activation(federation.site.transport_key)) == 401
        assert status_of(mallory.PullMessages, PullMessagesRequest(node=victim)) == 401
        assert status_of(mallory.PushMessages, PushMessagesRequest(node=victim)) == 401
        assert status_of(mallory.DeactivateNode, DeactivateNodeRequest(node_id=victim.node_id)) == 401
        assert status_of(mallory.DeactivateNode, DeactivateNodeRequest(node_id=own.node_id)) == 200


def activation(key: Path) -> ActivateNodeRequest:
    return ActivateNodeRequest(public_key=public_bytes(key), heartbeat_interval=30)


def test_a_site_refuses_a_door_of_another_authority(federation: Federation, tmp_path: Path) -> None:
    """A real SuperNode, to which somebody else's certificate was handed over."""
    port = int(federation.door.split(":")[1])
    coordinator_files.initialise(tmp_path / "other", hosts=[HOST], port=port, listen=HOST)
    site = SiteFolder(tmp_path / "east")
    initialise(site, site="east", join=tmp_path / "other" / "join.toml")
    site.transport_key.write_bytes(federation.site.transport_key.read_bytes())
    command, environ = supernode_command(site, choose_ports(site)), {"FLWR_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        command, env={**os.environ, **QUIET, **environ}, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in done.stdout + done.stderr


def test_neither_plain_http_nor_old_tls_is_answered(federation: Federation) -> None:
    port = int(federation.door.split(":")[1])
    with socket.create_connection((HOST, port), timeout=30) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1" not in plain.recv(200)
    old = federation.trust()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((HOST, port), timeout=30) as raw,
        pytest.raises(ssl.SSLError, match=r"EOF|ALERT_PROTOCOL_VERSION"),
    ):
        old.wrap_socket(raw, server_hostname=HOST)


def test_headers_that_were_seen_once_open_nothing_again(federation: Federation) -> None:
    """Flower signs the time alone: at the SuperLink itself the same headers go with any question; the door stops it."""
    node = Node(node_id=federation.node_id)
    with federation.fleet(federation.site.transport_key) as (site, sent):
        assert site.SendNodeHeartbeat(SendNodeHeartbeatRequest(node=node, heartbeat_interval=30)).success
    captured = {k: v for k, v in sent[0].headers.items() if k.startswith(("flwr-", "content-type"))}
    question, pull = PullMessagesRequest(node=node).SerializeToString(), "/v1/fleet/pull-messages"
    with federation.client() as thief:
        same = thief.post(sent[0].url.path, content=sent[0].content, headers=captured)
        other = thief.post(pull, content=question, headers=captured)
        old = {**captured, "flwr-timestamp": "2020-01-01T00:00:00+00:00"}
        late = thief.post(pull, content=question, headers=old)
    assert (same.status_code, other.status_code, late.status_code) == (503, 503, 401)
    with federation.client(link=True) as link:
        assert link.post(pull, content=question, headers=captured).status_code == 200


def test_what_is_too_large_is_refused_before_it_is_read(federation: Federation) -> None:
    path, size = "/v1/fleet/push-object", 9 * 2**20
    with federation.client() as client:
        assert client.post(path, content=bytes(size)).status_code == 413
        assert client.post(path, content=(bytes(2**20) for _ in range(9))).status_code == 413
    claimed = f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n"
    assert federation.raw(claimed).startswith(b"HTTP/1.1 413")
    header = f"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {'a' * 2**17}\r\n\r\n"
    assert not federation.raw(header).startswith(b"HTTP/1.1 200")
