"""A site that answers late, twice, or with what it should not: nothing of it counts, and nothing counts twice.

`west` is bad behind its real gateway, SuperNode and front door. Where its answers must not count, the adapter is that
of a simulation over `east` and `north`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from ssl import create_default_context
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.supernode.runtime.run_clientapp import push_message

from client.flower_runtime import Runtime, Task, open_runtime
from client.gateway import Gateway, read_secret
from client.ports import read_ports
from client.settings import read_settings
from client.trainer_connection import connect
from common import wire
from common.keys import read_signing_key
from common.signed_reply import sign_reply, without_signature
from common.supervisor_link import call
from common.thin_app import expected_fab_hash

pytestmark = [pytest.mark.processes, pytest.mark.slow]

Respond = Callable[[], wire.Content]


def garbage(respond: Respond) -> wire.Content:
    return RecordDict({"head": ConfigRecord({"json": "[" * 10_000}), "update": ConfigRecord({"x": 1})})


def of_another_study(respond: Respond) -> wire.Content:
    """An answer whose tensors are those of an adapter of a higher rank, and say so."""
    honest = respond()
    text = str(honest["head"]["json"])
    digest = text.partition('"schema":"')[2].partition('"')[0]
    larger = {key: packed(2 * int(array.shape[0])) for key, array in honest["update"].items()}
    head = ConfigRecord({"json": text.replace(digest, "sha256:" + "0" * 64)})
    return RecordDict({**honest, "head": head, "update": ArrayRecord(larger)})


def not_finite(respond: Respond) -> wire.Content:
    honest = respond()
    wrong = {key: packed(int(array.shape[0]), np.nan) for key, array in honest["update"].items()}
    return RecordDict({**honest, "update": ArrayRecord(wrong)})


def oversized(respond: Respond) -> wire.Content:
    """32 MB that compress nowhere and differ, so that no object is sent once for many."""
    honest = respond()
    noise = np.random.default_rng(0).standard_normal(4 * 2**20)
    return RecordDict({**honest, "update": ArrayRecord({"float32": Array(noise)})})


def raises(respond: Respond) -> wire.Content:
    raise RuntimeError("patient Kowalska has a rare disease")


def signed_anew(content: wire.Content, question: Any, key: Ed25519PrivateKey) -> wire.Content:
    """Return a bad answer with its site's own good signature: only what is in it is wrong."""
    return sign_reply(without_signature(content), question, key)


def packed(size: int, value: float = 0.5) -> Array:
    return Array(np.full(size, value, np.float32))


@pytest.mark.parametrize(
    ("first", "second", "reasons"),
    [
        (garbage, of_another_study, ("refused", "refused")),
        (not_finite, raises, ("refused", "failed")),
        (oversized, oversized, ("failed", "failed")),
    ],
)
def test_bad_answers_do_not_count(
    federation: Any, first: Callable[[Respond], Any], second: Callable[[Respond], Any], reasons: tuple[str, str]
) -> None:
    key = read_signing_key(federation.sites["west"].signing_key)

    def behave(action: str, content: wire.Content, respond: Respond) -> wire.Content:
        question = wire.peek_request(content)
        misdeed = {1: first, 2: second}.get(question.round)
        return respond() if misdeed is None else signed_anew(misdeed(respond), question, key)

    federation.west.behaviour = behave
    run = federation.submit("patient", f"bad-{first.__name__}")
    results = federation.finished(run, sites=2)
    found = [record["participation"]["west"] for record in results["rounds"]]
    assert tuple(each["status"] for each in found) == reasons
    assert not any("signature" in each["reason"] for each in found)
    assert "Kowalska" not in run.events.read_text() + run.log.read_text() + run.receipts.read_text()
    assert [e["status"] for e in federation.receipts(run) if e["site"] == "west" and e["round"] in (1, 2)] == list(
        reasons
    )


def test_an_answer_to_a_closed_round_is_late_and_never_counts(federation: Any) -> None:
    held = federation.hold(1)
    run = federation.submit("lenient", "closed-round")
    # While the last round is open, a site that is free again would be asked in it.
    federation.wait_for_event(run, "round_finished", round_number=2)
    held.released.set()
    results = federation.finished(run, sites=2)
    reasons = [record["participation"]["west"]["reason"] for record in results["rounds"]]
    assert reasons == ["no answer in time", "still at an earlier round"]
    noted = [(e["round"], e["status"]) for e in federation.receipts(run) if e["site"] == "west" and e["round"]]
    assert (1, "late") in noted
    assert not {(1, "accepted"), (2, "accepted")} & set(noted)


def test_a_site_that_never_answers_stops_a_run_that_needs_it_and_resuming_ends_it_well(federation: Any) -> None:
    held = federation.hold(2)
    run = federation.submit("brief", "never")
    state = federation.ended(run)
    assert state.state == "stopped"
    assert "round 2: 2 of 3 sites sent an accepted reply, 3 are needed: west late (no answer in time)" in state.reason
    assert "Round 1 is in the checkpoint" in state.reason
    held.released.set()
    federation.wait(lambda: not federation.is_busy("west"), what="west at rest")
    federation.resume(run)
    federation.finished(run)


@dataclass(frozen=True)
class SaidTwice:
    """A task whose answer is given twice, as two messages."""

    task: Task

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def answer(self, reply: Message) -> None:
        push_message(self.task.client, Message(reply.content, reply_to=self.task.message), self.task.context)
        self.task.answer(reply)


@dataclass(frozen=True)
class Twice:
    """The Runtime API for a gateway that gives every answer twice."""

    runtime: Runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runtime, name)

    @contextmanager
    def task(self, token: str, **more: Any) -> Iterator[Any]:
        with self.runtime.task(token, **more) as task:
            yield SaidTwice(task)


@contextmanager
def gateway_that_answers_twice(federation: Any) -> Iterator[None]:
    folder, stop = federation.sites["west"], Event()
    supervisor = folder.run / "supervisor.sock"
    call(supervisor, "stopProcess", "gateway")
    with open_runtime(f"127.0.0.1:{read_ports(folder).runtime}", read_secret(folder)) as runtime, connect(folder) as it:
        gateway = Gateway(Twice(runtime), it, expected_fab_hash())  # type: ignore[arg-type] # the same methods
        thread = Thread(target=gateway.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            call(supervisor, "startProcess", "gateway")


def test_a_site_that_answers_twice_counts_once(federation: Any) -> None:
    with gateway_that_answers_twice(federation):
        run = federation.submit("strict", "twice")
        federation.finished(run)
    noted = [(e["round"], e["status"]) for e in federation.receipts(run) if e["site"] == "west" and e["round"]]
    assert noted == [(1, "accepted"), (2, "accepted"), (3, "accepted")]


def test_a_claim_of_ten_gigabytes_is_refused_before_it_is_sent(federation: Any) -> None:
    folder = federation.sites["east"]
    host, _, port = read_settings(folder).coordinator.address.rpartition(":")
    trust = create_default_context(cafile=str(folder.coordinator_ca))
    connection = HTTPSConnection(host, int(port), context=trust, timeout=20)
    connection.putrequest("POST", "/v1/fleet/push-object")
    connection.putheader("content-length", str(10 * 2**30))
    connection.putheader("expect", "100-continue")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
