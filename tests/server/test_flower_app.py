"""A run as the SuperLink's process plays it, from the coordinator's folder to its results, over virtual sites."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.run import RunNotRunningException

from client.app import guarded, respond
from common import keys, receipt_check, wire
from common.adapter_folder import read_adapter
from common.bundle import BaseModelFacts, write_bundle
from common.enrolment import Enrolment
from common.errors import CheckpointError, ParticipationError, UserError
from common.preflight import Question, Readiness
from common.protocol import Refusal
from common.signed_reply import sign_readiness, sign_reply
from common.state import AdapterSchema
from common.study import Study
from server import checkpoint
from server.coordinator.folder import CoordinatorFolder
from server.coordinator.initialise import initialise
from server.coordinator.roster import enrolled, now_utc, read_roster, write_roster
from server.flower_app import main, noting, play
from server.run_folder import RunFolder, RunState
from simulations.inprocess import InProcessGrid, task_identity

SITES = ("site-a", "site-b")
SIGNING = {site: Ed25519PrivateKey.generate() for site in SITES}
Signers = Mapping[str, Ed25519PrivateKey | None]


@dataclass(frozen=True)
class KeyedNode:
    node_id: int
    public_key: bytes


@dataclass
class KeyedGrid:
    """The in-process grid with nodes that are known by a key, as those of a SuperLink are; strangers come first."""

    inner: InProcessGrid
    keys: list[bytes]

    def get_nodes(self) -> list[KeyedNode]:
        nodes = zip(self.inner.get_nodes(), self.keys, strict=True)
        return [KeyedNode(999, b"a stranger's"), *(KeyedNode(node.node_id, key) for node, key in nodes)]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self.inner.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self.inner.pull_messages(message_ids)


@pytest.fixture
def run(tmp_path: Path, site_keys: dict[str, str]) -> RunFolder:
    """A submitted run of a coordinator with both sites enrolled, whose quorum is one of two."""
    folder = CoordinatorFolder(tmp_path / "coordinator")
    initialise(folder.path, hosts=["localhost"])
    roster = read_roster(folder)
    for site, transport in site_keys.items():
        signing = keys.public_text(SIGNING[site])
        roster, _ = enrolled(roster, Enrolment(site=site, transport_key=transport, signing_key=signing), now_utc())
    write_roster(folder, roster)
    made = RunFolder(folder.runs / "first")
    made.path.mkdir()
    made.note(RunState("submitted", "1"))
    return made


@pytest.fixture
def site_keys(tmp_path: Path) -> dict[str, str]:
    return {site: keys.make_transport_key(tmp_path / site) for site in SITES}


@pytest.fixture
def bundled(run: RunFolder, lab: Callable[..., Any]) -> Any:
    """The run's bundle, and the lab whose sites answer it."""
    federation = lab(len(SITES))
    initial = federation.start().shared
    study = {
        "name": "s",
        "base_model": {"source": "dir:model"},
        "task": {"labels": ["no", "yes"]},
        "federation": {"rounds": 2, "sites": list(SITES), "quorum": 0.5, "deadline_s": 5.0},
        "peft": {"method": "prefix"},
    }
    schema = AdapterSchema(next(iter(federation.sites.values())).schema.shared.tensors)
    for site in federation.sites.values():
        site.schema = schema
    write_bundle(
        run.bundle,
        study=Study.model_validate(study),
        schema=schema,
        initial=initial,
        base_model=BaseModelFacts({}, parameters=10, size_bytes=40),
        adapter_config=None,
        peft_names=None,
    )
    return federation


def app_of(federation: Any, readiness: Readiness, signers: Signers) -> ClientApp:
    """An app whose sites sign as `signers` says; without a key a reply goes out unsigned."""
    app = ClientApp()

    def work(message: Message, context: Context) -> Message:
        site = federation.site_of(context)
        content = guarded(lambda: respond(message.content, site))
        key = signers[site.name]
        if key is not None:
            content = sign_reply(content, wire.peek_request(message.content), key)
        return Message(content, reply_to=message)

    app.train()(work)
    app.evaluate()(work)

    @app.query("preflight")
    def preflight(message: Message, context: Context) -> Message:
        content, key = wire.encode_value(readiness.model_dump()), signers[federation.site_of(context).name]
        if key is not None:
            asked = Question.model_validate(wire.decode_value(message.content))
            content = sign_readiness(content, asked, key)
        return Message(content, reply_to=message)

    return app


READY = Readiness()


def played(
    run: RunFolder,
    federation: Any,
    site_keys: dict[str, str],
    readiness: Readiness = READY,
    signers: Signers = SIGNING,
) -> None:
    with task_identity():
        inner = InProcessGrid(app_of(federation, readiness, signers), SITES, named=False)
        play(KeyedGrid(inner, [keys.transport_pem(site_keys[site]) for site in SITES]), run)  # type: ignore[arg-type] # the part that is used


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "the reply has no signature"),
        (SIGNING["site-a"], "not by the site's enrolled key"),
        (Ed25519PrivateKey.generate(), "not by the site's enrolled key"),
    ],
)
@pytest.mark.parametrize("no", [False, True])
def test_an_update_that_its_site_did_not_sign_does_not_count(
    no: bool, key: Ed25519PrivateKey | None, reason: str, run: RunFolder, bundled: Any, site_keys: dict[str, str]
) -> None:
    """Whoever is between: SuperLink does not tie a reply to the node that was asked. Nor is such a no its site's."""
    bundled.sites["site-b"].change = lambda reply, request: Refusal("PAUSED") if no else reply
    played(run, bundled, site_keys, signers={**SIGNING, "site-b": key})
    rounds = json.loads(run.results.read_bytes())["rounds"]
    found = [record["participation"] for record in rounds]
    assert [(each["site-a"]["status"], each["site-b"]["status"]) for each in found] == [("accepted", "refused")] * 2
    assert all(reason in each["site-b"]["reason"] for each in found)


def test_a_run_leaves_what_a_simulation_leaves_and_its_receipts(
    run: RunFolder, bundled: Any, site_keys: dict[str, str]
) -> None:
    played(run, bundled, site_keys)
    content = json.loads(run.results.read_bytes())
    exported = read_adapter(run.adapter)
    assert content["digests"]["adapter"] == exported.digests["adapter"]
    assert [set(r["participation"]) for r in content["rounds"]] == [set(SITES)] * 2
    statuses = {p["status"] for r in content["rounds"] for p in r["participation"].values()}
    assert statuses == {"accepted"}
    federated = content["comparison"]["federated"]
    assert set(federated["sites"]) == set(SITES)
    assert federated["mean"]["log_loss"]["value"] is not None
    assert content["comparison"]["local"] is None
    assert "site-a" in (run.path / "report.html").read_text()
    public = keys.public_text(keys.read_signing_key(CoordinatorFolder(run.coordinator).signing_key))
    assert receipt_check.verify(run.receipts, public) == []
    lines = [json.loads(line) for line in run.receipts.read_text().splitlines()]
    judged = [(line["site"], line["round"], line["status"]) for line in lines if "site" in line]
    assert sorted(judged) == sorted((site, number, "accepted") for site in SITES for number in (0, 1, 2, 3))


def test_a_run_goes_on_from_its_checkpoint(
    run: RunFolder, bundled: Any, site_keys: dict[str, str], tmp_path: Path
) -> None:
    whole = RunFolder(run.path.with_name("whole"))
    shutil.copytree(run.path, whole.path)
    played(whole, bundled, site_keys)
    for site in bundled.sites.values():
        site.change = lambda reply, request: Refusal("PAUSED") if request.round == 2 else reply
    with pytest.raises(ParticipationError, match=r"round 2: 0 of 2 sites .* site-b refused \(PAUSED\)"):
        played(run, bundled, site_keys)
    assert not run.results.exists()
    for site in bundled.sites.values():
        site.change = lambda reply, request: reply
        site.asked.clear()
    played(run, bundled, site_keys)
    assert [request.round for request in bundled.sites["site-a"].asked] == [2, 3]
    assert read_adapter(run.adapter).digests["adapter"] == read_adapter(whole.adapter).digests["adapter"]
    assert (
        checkpoint.read(run.checkpoint, study=json.loads(run.results.read_bytes())["digests"]["study"], seed=0).run
        == "first"
    )


def test_a_study_that_no_site_can_run_ends_before_anyone_trains(
    run: RunFolder, bundled: Any, site_keys: dict[str, str]
) -> None:
    with pytest.raises(ParticipationError, match="no base model with the study's digest"):
        played(run, bundled, site_keys, Readiness(problems=("NO_BASE_MODEL",)))
    assert all(not site.asked for site in bundled.sites.values())


def test_a_run_in_good_order_is_noted_under_its_own_id(run: RunFolder) -> None:
    run.note(RunState("submitted", ""))
    with noting(run, "1"):
        assert run.state() == RunState("running", "1")
        run.note(RunState("running", "2"))  # a later word on its id counts
    assert run.state() == RunState("finished", "2")


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ParticipationError("too few\nsites"), "stopped", "^too few sites$"),
        (CheckpointError("damaged"), "failed", "^damaged$"),
        (ZeroDivisionError(), "failed", r"^a defect; see server\.log$"),
        (OSError(ENOSPC, "No space left on device"), "failed", "make room, then go on with: fedpeft server resume"),
        (SystemExit(0), "failed", "was ended"),
        (httpx.ConnectError("h"), "failed", r"^the SuperLink .* \(ConnectError\); go on with: fedpeft server resume$"),
        (ConnectionResetError("h"), "failed", r"^the SuperLink .* \(ConnectionResetError\); go on with: "),
        (RunNotRunningException(), "failed", "^for the SuperLink this run is over; go on with: "),
    ],
)
def test_how_a_run_ends_is_noted(run: RunFolder, error: BaseException, state: str, reason: str) -> None:
    with pytest.raises(type(error)), noting(run, "1"):
        raise error
    found = run.state()
    assert (found.state, found.flower) == (state, "1")
    assert re.search(reason, found.reason or "")


def test_a_run_that_is_cancelled_stays_cancelled_when_its_process_is_told(run: RunFolder) -> None:
    cancelled = RunState("cancelled", "1", "by fedpeft server cancel")

    def cancel() -> None:
        run.note(cancelled)
        sys.exit(0)

    with pytest.raises(SystemExit), noting(run, "1"):
        cancel()
    assert run.state() == cancelled


def test_a_run_that_was_cancelled_before_its_process_began_is_not_played(run: RunFolder) -> None:
    run.note(RunState("cancelled", ""))
    with pytest.raises(CheckpointError, match="was cancelled before it began"), noting(run, "1"):
        pytest.fail("it is played")
    assert run.state() == RunState("cancelled", "")


def test_a_state_that_a_full_disk_does_not_take_hides_nothing(run: RunFolder) -> None:
    class FullDisk(RunFolder):
        def note(self, state: RunState) -> None:
            if state.state == "failed":
                raise OSError(ENOSPC, "No space left on device")
            super().note(state)

    full = FullDisk(run.path)
    with pytest.raises(ZeroDivisionError), noting(full, "1"):
        _ = 1 / 0
    assert run.state().state == "running"


@pytest.mark.parametrize("config", [{}, {"folder": ""}, {"folder": 3}])
def test_a_run_config_without_a_folder_is_said(config: dict[str, Any]) -> None:
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=config)
    with pytest.raises(UserError, match="lacks 'folder'"):
        main(None, context)  # type: ignore[arg-type] # no grid is needed to say so
