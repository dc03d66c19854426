"""The gateway: an unknown bundle is refused unread, a message is forwarded, and a failure is a fixed word."""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any, cast

import httpx
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.cli.build import build_fab_from_disk

from client import gateway_app
from client.flower_runtime import GivenUpError, Runtime, Task
from client.gateway import Gateway, read_secret
from client.service import serve
from client.site_folder import SiteFolder
from client.trainer_connection import TrainerConnection, connect
from common import wire
from common.errors import UserError
from common.thin_app import expected_fab_hash, thin_app
from simulations.inprocess import task_identity

PATIENT = "PATIENT-ID-123"
DROPPED = cast("Task", object())
"""A message that a SuperNode offered, and then dropped with its run."""


class FakeHospital:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.wait_for: Event | None = None

    def respond(self, action: str, content: RecordDict) -> RecordDict:
        self.asked.append(action)
        if self.wait_for is not None:
            assert self.wait_for.wait(10)
        if action == "evaluate":
            raise ValueError(PATIENT)
        return content

    def status(self) -> dict[str, Any]:
        return {}


@dataclass
class FakeRuntime:
    """A SuperNode with these tasks; `failures` come before them."""

    tasks: list[Task]
    failures: list[Exception] = field(default_factory=list)
    beats: int = 0
    wanted_beats: int = 0
    enough: Event = field(default_factory=Event)
    empty: Event = field(default_factory=Event)

    def acquire(self) -> str | None:
        if self.failures:
            raise self.failures.pop()
        if not self.tasks:
            self.empty.set()
        return "token" if self.tasks else None

    @contextmanager
    def task(self, token: str, *, is_given_up: Callable[[], bool]) -> Iterator[Task]:
        found = self.tasks.pop(0)
        if found is DROPPED:
            assert is_given_up() == bool(self.tasks)
            raise GivenUpError
        yield found

    def beat(self, token: str) -> bool:
        self.beats += 1
        if self.beats >= self.wanted_beats:
            self.enough.set()
        return True


@dataclass(frozen=True)
class FakeTask:
    message: Message
    fab: bytes
    replies: list[Message] = field(default_factory=list)

    def answer(self, reply: Message) -> None:
        self.replies.append(reply)


def build_fab(folder: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return build_fab_from_disk(folder)


@pytest.fixture(scope="module")
def fab(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_fab(thin_app(tmp_path_factory.mktemp("fab") / "thin"))


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    """What a real task's process has: Flower makes no message without."""
    with task_identity():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path / "site")


@pytest.fixture
def hospital(folder: SiteFolder) -> Iterator[FakeHospital]:
    found = FakeHospital()
    service = serve(found, folder)
    yield found
    service.stop(1)


@pytest.fixture
def trainer(folder: SiteFolder) -> Iterator[TrainerConnection]:
    folder.socket.parent.mkdir(parents=True, exist_ok=True)
    with connect(folder) as connection:
        yield connection


def task(fab: bytes, kind: str = "train", content: RecordDict | None = None) -> FakeTask:
    text = content or RecordDict({"head": ConfigRecord({"json": "q"})})
    message = wire.message(text, kind=kind, node=2, round_number=1)
    message.metadata.__dict__["_message_id"] = "1"
    return FakeTask(message, fab)


def gateway(trainer: TrainerConnection, runtime: FakeRuntime | None = None) -> Gateway:
    return Gateway(cast("Runtime", runtime), trainer, expected_fab_hash(), patience_s=0.5)


def reply_to(trainer: TrainerConnection, asked: FakeTask) -> Message:
    return gateway(trainer).reply_to(cast("Task", asked))


def test_a_message_gets_the_trainer_s_answer(trainer: TrainerConnection, hospital: FakeHospital, fab: bytes) -> None:
    asked = task(fab)
    reply = reply_to(trainer, asked)
    assert reply.has_content()
    assert reply.content == asked.message.content
    assert reply.metadata.reply_to_message_id == "1"
    assert hospital.asked == ["train"]


def test_an_unknown_bundle_is_refused_and_nothing_of_it_read(
    trainer: TrainerConnection, hospital: FakeHospital, fab: bytes, tmp_path: Path
) -> None:
    folder = thin_app(tmp_path / "foreign")
    (folder / "foreign_module_5.py").write_text("raise SystemExit('imported')\n")
    for foreign in (build_fab(folder), fab + b"\0", b"", b"no zip at all"):
        assert wire.failure_of(reply_to(trainer, task(foreign))) == "APP_REFUSED"
    assert hospital.asked == []
    assert "foreign_module_5" not in sys.modules


def test_no_text_of_a_failure_leaves(trainer: TrainerConnection, hospital: FakeHospital, fab: bytes) -> None:
    reply = reply_to(trainer, task(fab, "evaluate"))
    assert wire.failure_of(reply) == reply.error.reason == "TRAINING_FAILED"
    assert PATIENT not in str(reply)


def test_a_trainer_that_is_not_there_is_told(trainer: TrainerConnection, fab: bytes) -> None:
    assert wire.failure_of(reply_to(trainer, task(fab))) == "TRAINER_UNAVAILABLE"


def test_a_message_waits_for_a_trainer_that_is_being_started(
    trainer: TrainerConnection, folder: SiteFolder, fab: bytes
) -> None:
    asked = cast("Task", task(fab))
    with ThreadPoolExecutor() as pool:
        coming = pool.submit(replace(gateway(trainer), patience_s=20).reply_to, asked)
        Event().wait(0.3)
        service = serve(FakeHospital(), folder)
        try:
            assert coming.result(20).has_content()
        finally:
            service.stop(1)


def test_a_message_that_cannot_be_forwarded_is_told_without_its_text(
    trainer: TrainerConnection, hospital: FakeHospital, fab: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    unframed = RecordDict({"head": ConfigRecord({"json": PATIENT.encode()})})  # bytes have no place in a frame's JSON
    reply = reply_to(trainer, task(fab, content=unframed))
    assert wire.failure_of(reply) == reply.error.reason == "GATEWAY_ERROR"
    assert PATIENT not in caplog.text


def test_it_goes_on_after_a_supernode_was_away(
    trainer: TrainerConnection, hospital: FakeHospital, fab: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [task(fab), task(b"foreign"), task(fab)]
    away = [httpx.ConnectError(PATIENT), httpx.ConnectError(PATIENT)]
    runtime, stop = FakeRuntime([cast("Task", each) for each in asked], cast("list[Exception]", away)), Event()
    thread = Thread(target=gateway(trainer, runtime).run, args=(stop,))
    with caplog.at_level(logging.WARNING, "fedpeft.gateway"):
        thread.start()
        assert runtime.empty.wait(20)
        stop.set()
        thread.join(5)
    assert not thread.is_alive()
    words = [wire.failure_of(reply) for each in asked for reply in each.replies]
    assert words == [None, "APP_REFUSED", None]
    assert caplog.text.count("ConnectError") == 1  # an outage is said once
    assert PATIENT not in caplog.text


def test_a_message_that_was_dropped_with_its_run_is_left_for_the_next(
    trainer: TrainerConnection, hospital: FakeHospital, fab: bytes
) -> None:
    """Also where the next one is dropped as well."""
    asked, stop = task(fab), Event()
    runtime = FakeRuntime([DROPPED, DROPPED, cast("Task", asked)])
    gateway(trainer, runtime).work(stop)
    assert [wire.failure_of(reply) for reply in asked.replies] == [None]
    assert hospital.asked == ["train"]
    assert runtime.tasks == []


def test_the_app_of_flower_s_own_executor_forwards_too(
    hospital: FakeHospital, folder: SiteFolder, fab: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})
    monkeypatch.setenv(gateway_app.SITE, str(folder.path))
    assert gateway_app.app(task(fab).message, context).has_content()
    monkeypatch.delenv(gateway_app.SITE)
    with pytest.raises(UserError, match="FEDPEFT_SITE"):
        gateway_app.app(task(fab).message, context)


def test_the_supernode_hears_of_a_task_while_it_lasts(
    trainer: TrainerConnection, hospital: FakeHospital, fab: bytes
) -> None:
    asked = task(fab)
    runtime = FakeRuntime([cast("Task", asked)], wanted_beats=3)
    hospital.wait_for = runtime.enough
    replace(gateway(trainer, runtime), heartbeat_s=0.02).work(Event())
    assert wire.failure_of(asked.replies[0]) is None
    assert runtime.beats >= 3


def test_a_secret_that_is_not_there_is_told(folder: SiteFolder) -> None:
    with pytest.raises(UserError, match=r"keys/runtime\.secret"):
        read_secret(folder)


def test_a_message_whose_time_is_over_still_gets_an_answer(
    trainer: TrainerConnection, hospital: FakeHospital, fab: bytes
) -> None:
    asked = task(fab)
    asked.message.metadata.__dict__["_ttl"] = 0.0
    assert reply_to(trainer, replace(asked)).has_content()


def test_the_gateway_loads_no_torch() -> None:
    import subprocess

    code = "import json, sys, client.gateway; print(json.dumps([m for m in ('torch', 'pandas') if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
