"""The trainer's socket, with real gRPC: who may ask, one message at a time, and nothing but fixed words."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client.service import Desk, Service, serve
from client.site_folder import SiteFolder
from client.trainer_connection import TrainerConnection, TrainerFailure, connect
from client.trainer_socket import ACTION_KEY, MAX_FRAME_BYTES, SERVICE, TOKEN_KEY, socket_address
from common import wire
from common.errors import UserError

PATIENT = "PATIENT-ID-123"


class FakeHospital:
    """Answers with what it was asked, once it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.started, self.may_answer = Event(), Event()
        self.may_answer.set()

    def respond(self, action: str, content: RecordDict) -> RecordDict:
        self.asked.append(action)
        self.started.set()
        assert self.may_answer.wait(20)
        if action == "fail":
            raise KeyError(PATIENT)
        if action == "swell":
            data = bytes(MAX_FRAME_BYTES + 1)
            return RecordDict({"a": ArrayRecord({"x": Array("uint8", (len(data),), "numpy.ndarray", data)})})
        return content

    def status(self) -> dict[str, Any]:
        return {"answered": len(self.asked)}


def question(text: str = "q") -> bytes:
    return wire.to_frame(RecordDict({"head": ConfigRecord({"json": text, "more": "m"})}))


def text_of(frame: bytes) -> object:
    return wire.from_frame(frame)["head"]["json"]


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    return SiteFolder(tmp_path / "site")


@pytest.fixture
def hospital() -> FakeHospital:
    return FakeHospital()


@pytest.fixture
def service(hospital: FakeHospital, folder: SiteFolder) -> Iterator[Service]:
    running = serve(hospital, folder)
    yield running
    hospital.may_answer.set()
    running.stop(5)


@pytest.fixture
def trainer(service: Service, folder: SiteFolder) -> Iterator[TrainerConnection]:
    with connect(folder) as connection:
        yield connection


def test_a_message_is_answered_and_the_status_told(trainer: TrainerConnection, hospital: FakeHospital) -> None:
    assert text_of(trainer.answer("train", question("patients"), deadline_s=10)) == "patients"
    assert hospital.asked == ["train"]
    assert trainer.status() == {"answered": 1, "busy": False}


def test_only_its_owner_reaches_the_socket(service: Service, folder: SiteFolder) -> None:
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (folder.socket.parent, folder.socket, folder.token)}
    assert modes == {folder.socket.parent: 0o700, folder.socket: 0o600, folder.token: 0o600}
    assert len(folder.token.read_text()) == 64


def test_a_group_reaches_it_where_the_site_says_so(hospital: FakeHospital, folder: SiteFolder) -> None:
    import grp

    group = grp.getgrgid(os.getgid()).gr_name
    running = serve(hospital, folder, group=group)
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (folder.socket.parent, folder.socket, folder.token)]
    running.stop(1)
    assert modes == [0o750, 0o660, 0o640]
    with pytest.raises(UserError, match="no such group"):
        serve(hospital, folder, group="no-such-group-here")


@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_who_lacks_the_token_is_refused(
    folder: SiteFolder, hospital: FakeHospital, service: Service, token: Any
) -> None:
    metadata = [(ACTION_KEY, "train")] + ([(TOKEN_KEY, token)] if token is not None else [])
    with socket_address(folder.socket) as address, grpc.insecure_channel(address) as channel:
        for method in ("Answer", "Status"):
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(f"/{SERVICE}/{method}")(question(), metadata=metadata, timeout=5)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert hospital.asked == []


def test_each_start_makes_another_token(hospital: FakeHospital, folder: SiteFolder) -> None:
    tokens = set()
    for _ in range(2):
        running = serve(hospital, folder)
        tokens.add(folder.token.read_text())
        running.stop(1)
    assert len(tokens) == 2


def test_the_health_service_says_whether_it_serves(folder: SiteFolder, service: Service) -> None:
    with socket_address(folder.socket) as address, grpc.insecure_channel(address) as channel:
        found = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5)
    assert found.status == health_pb2.HealthCheckResponse.SERVING


def test_what_is_too_large_is_refused_both_ways(hospital: FakeHospital, folder: SiteFolder) -> None:
    running = serve(hospital, folder, max_bytes=10_000)
    try:
        with connect(folder) as trainer:
            with pytest.raises(TrainerFailure, match="BUSY"):  # gRPC's own word for it is the same
                trainer.answer("train", question("x" * 20_000), deadline_s=10)
            assert hospital.asked == []
            with pytest.raises(TrainerFailure, match="TOO_LARGE"):
                trainer.answer("train", bytes(MAX_FRAME_BYTES + 1), deadline_s=10)
    finally:
        running.stop(5)


def test_another_message_meanwhile_is_busy_and_the_same_one_joins(
    trainer: TrainerConnection, hospital: FakeHospital, folder: SiteFolder
) -> None:
    hospital.may_answer.clear()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(trainer.answer, "train", question("a"), deadline_s=20)
        assert hospital.started.wait(10)
        with pytest.raises(TrainerFailure, match="BUSY"):
            trainer.answer("train", question("b"), deadline_s=10)
        with pytest.raises(TrainerFailure, match="BUSY"):
            trainer.answer("evaluate", question("a"), deadline_s=10)
        with pytest.raises(TrainerFailure, match="DEADLINE"):  # it waits: the question is the one that is answered
            trainer.answer("train", question("a"), deadline_s=0.3)
        assert trainer.status()["busy"] is True
        hospital.may_answer.set()
        assert text_of(first.result()) == "a"
    assert hospital.asked == ["train"]
    assert trainer.answer("evaluate", question("b"), deadline_s=10)


def test_an_answer_is_finished_though_its_caller_has_gone(
    service: Service, trainer: TrainerConnection, hospital: FakeHospital
) -> None:
    hospital.may_answer.clear()
    with pytest.raises(TrainerFailure, match="DEADLINE"):
        trainer.answer("train", question("a"), deadline_s=0.3)
    with pytest.raises(TrainerFailure, match="BUSY"):
        trainer.answer("train", question("b"), deadline_s=10)
    coming = service.desk.ask("train", wire.from_frame(question("a")))
    assert coming is not None
    hospital.may_answer.set()
    assert text_of(coming.result(10)) == "a"
    assert hospital.asked == ["train"]


class StoppedAmidAsking(ThreadPoolExecutor):
    """A pool whose desk is asked to finish when work has begun that `submit` has not given back yet."""

    def __init__(self, hospital: FakeHospital) -> None:
        super().__init__(1)
        self.hospital, self.stopper = hospital, ThreadPoolExecutor(1)
        self.desk: Desk | None = None

    def submit(self, *work: Any) -> Any:  # type: ignore[override] # all that a desk gives
        coming = super().submit(*work)
        assert self.hospital.started.wait(10)
        assert self.desk is not None
        self.finished = self.stopper.submit(self.desk.finish, 0.05)
        wait([self.finished], timeout=0.3)
        return coming


def test_work_that_began_as_the_stop_came_is_unfinished(hospital: FakeHospital) -> None:
    hospital.may_answer.clear()
    pool = StoppedAmidAsking(hospital)
    desk = pool.desk = Desk(hospital, pool)
    coming = desk.ask("train", wire.from_frame(question()))
    assert coming is not None
    assert pool.finished.result(10) is False
    hospital.may_answer.set()
    coming.result(10)
    assert desk.finish(10)


def test_no_text_of_a_failure_leaves(
    trainer: TrainerConnection, folder: SiteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TrainerFailure, match=r"^TRAINING_FAILED$"):
        trainer.answer("fail", question(), deadline_s=10)
    token = ((TOKEN_KEY, folder.token.read_text()), (ACTION_KEY, "fail"))
    with pytest.raises(grpc.RpcError) as failure:
        trainer.channel.unary_unary(f"/{SERVICE}/Answer")(question(), metadata=token, timeout=10)
    assert PATIENT not in str(failure.value)
    assert PATIENT in caplog.text  # the site's own log has it


@pytest.mark.parametrize(("action", "frame"), [("train", b"no frame"), ("Train", question()), ("", question())])
def test_what_is_no_message_is_refused(trainer: TrainerConnection, action: str, frame: bytes) -> None:
    with pytest.raises(TrainerFailure, match="MALFORMED_REQUEST"):
        trainer.answer(action, frame, deadline_s=10)


def test_a_second_trainer_does_not_take_the_socket_away(
    service: Service, trainer: TrainerConnection, folder: SiteFolder, hospital: FakeHospital
) -> None:
    with pytest.raises(UserError, match="runs already"):
        serve(hospital, folder)
    assert trainer.status() == {"answered": 0, "busy": False}


def test_a_path_longer_than_a_socket_s_works(hospital: FakeHospital, tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path / ("long" * 20) / ("path" * 20))
    running = serve(hospital, folder)
    try:
        with connect(folder) as trainer:
            assert text_of(trainer.answer("train", question("a"), deadline_s=10)) == "a"
    finally:
        running.stop(1)


def test_nothing_but_a_socket_is_removed(hospital: FakeHospital, folder: SiteFolder) -> None:
    folder.socket.parent.mkdir(parents=True)
    folder.socket.write_text("precious")
    with pytest.raises(UserError, match="no socket"):
        serve(hospital, folder)
    assert folder.socket.read_text() == "precious"


def test_what_is_done_first_comes_before_the_first_message_and_may_fail(
    service: Service, trainer: TrainerConnection, hospital: FakeHospital, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = Event()

    def prepare() -> None:
        assert may_end.wait(20)
        hospital.asked.append("prepared")
        raise ValueError("no such model")

    service.desk.begin_with(prepare)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(trainer.answer, "train", question("q"), deadline_s=20)
        assert trainer.status(timeout_s=5)["answered"] == 0  # the socket is served meanwhile
        may_end.set()
        assert text_of(asked.result(timeout=20)) == "q"
    assert hospital.asked == ["prepared", "train"]
    assert "what is done before the first message failed" in caplog.text
