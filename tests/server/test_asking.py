"""One bad site is data: whatever it sends, the round completes with the others, and its record says why."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from client.app import make_app
from common import npy
from common.protocol import Refusal, Reply, Request
from common.state import digest_state
from server.events import SiteAnswered

MakeLab = Callable[..., Any]
Misdeed = Callable[[Message], Any]
SECRET = "PATIENT-ID-123"


def with_array(data: bytes) -> Misdeed:
    def change(reply: Message) -> Message:
        record = reply.content["update"]
        assert isinstance(record, ArrayRecord)
        reply.content["update"] = ArrayRecord({"float32": Array("float32", (10,), "numpy.ndarray", data)})
        return reply

    return change


def with_stowaway(reply: Message) -> Message:
    reply.content["more"] = ArrayRecord({"x": Array(np.zeros(3))})
    return reply


def with_head(reply: Message) -> Message:
    reply.content["head"] = ConfigRecord({"json": '{"answer": ' + "[" * 1000})
    return reply


def nothing(reply: Message) -> None:
    return None


def empty(reply: Message) -> Message:
    return Message(RecordDict(), reply_to=question_of(reply))


def flower_error(reply: Message) -> Message:
    return Message(Error(code=2, reason=f"<class 'KeyError'>:<'{SECRET}'>"), reply_to=question_of(reply))


def question_of(reply: Message) -> Message:
    """A message that a reply to it answers the same question as `reply`."""
    about = reply.metadata
    question = Message(RecordDict(), dst_node_id=about.src_node_id, message_type=about.message_type)
    question.metadata.__dict__["_message_id"] = about.reply_to_message_id
    return question


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([print] * 10, dtype=object), allow_pickle=True)
    return buffer.getvalue()


MESSAGES: dict[str, tuple[Misdeed, str, str]] = {
    "NaN": (with_array(npy.encode(np.full(10, np.nan, np.float32))), "refused", "finite"),
    "wrong shape": (with_array(npy.encode(np.zeros(11, np.float32))), "refused", "bytes"),
    "float64": (with_array(npy.encode(np.zeros(5))), "refused", "npy header"),
    "an extra tensor": (with_stowaway, "refused", "3 records"),
    "a pickled object": (with_array(pickled()), "refused", "array has"),
    "a header of 4 TB": (with_array(npy.header("float32", 10**12) + bytes(40)), "refused", "npy header"),
    "a broken head": (with_head, "refused", "JSON"),
    "an empty message": (empty, "refused", "head"),
    "an error of Flower's": (flower_error, "failed", "APP_FAILED"),
    "None": (nothing, "failed", "APP_FAILED"),
}


def hostile_app(made: Any, site: str, misdeed: Misdeed) -> ClientApp:
    """The honest app, but for one site whose training replies pass through `misdeed`."""
    honest, app = make_app(made.site_of), ClientApp()

    def train(message: Message, context: Context) -> Any:
        reply = honest(message, context)
        return misdeed(reply) if made.site_of(context).name == site else reply

    app.train()(train)
    app.evaluate()(honest)
    app.query()(honest)
    return app


def without(lab: MakeLab, rounds: int) -> str:
    """Digest of the run over the other sites only."""
    made = lab(4, folder="others")
    del made.sites["site-b"]
    return digest_state(made.run(rounds=rounds).adapter)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_hostile_message_is_not_counted_and_says_why(lab: MakeLab, name: str) -> None:
    misdeed, status, reason = MESSAGES[name]
    made = lab(4)
    made.app = hostile_app(made, "site-b", misdeed)
    outcome = made.run(rounds=2)
    for record in outcome.rounds:
        entry = record["participation"]["site-b"]
        assert entry["status"] == status
        assert reason in entry["reason"]
        assert "site-b" not in record["train"]["sites"]
    assert digest_state(outcome.adapter) == without(lab, 2)
    assert SECRET not in (made.folder / "events.jsonl").read_text()


def raises(reply: Reply, request: Request) -> Reply:
    raise KeyError(SECRET)


REPLIES: dict[str, tuple[Callable[[Reply, Request], Any], str, str]] = {
    "1e12 examples": (lambda r, q: replace(r, examples=10**12), "refused", "1000000000000 examples"),
    "no examples": (lambda r, q: replace(r, examples=0), "refused", "0 examples"),
    "a huge update": (
        lambda r, q: replace(r, update={n: a * np.float32(1e38) for n, a in r.update.items()}),
        "refused",
        "norm",
    ),
    "an exception": (raises, "failed", "TRAINING_FAILED"),
    "NaN at the honest border": (
        lambda r, q: replace(r, update={n: a * np.float32(np.nan) for n, a in r.update.items()}),
        "failed",
        "TRAINING_FAILED",
    ),
    "a refusal": (lambda r, q: Refusal("REFUSED_BY_POLICY"), "refused", "REFUSED_BY_POLICY"),
    "divergence": (lambda r, q: Refusal("TRAINING_DIVERGED"), "failed", "TRAINING_DIVERGED"),
    "no evaluation": (lambda r, q: replace(r, evaluations={}), "refused", "evaluates"),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_bad_reply_is_not_counted_and_says_why(lab: MakeLab, name: str) -> None:
    change, status, reason = REPLIES[name]
    made = lab(4, site_b=lambda r, q: change(r, q) if q.kind == "train" else r)
    outcome = made.run(rounds=2)
    for record in outcome.rounds:
        entry = record["participation"]["site-b"]
        assert (entry["status"], reason in entry["reason"]) == (status, True), entry
    assert digest_state(outcome.adapter) == without(lab, 2)
    assert SECRET not in (made.folder / "events.jsonl").read_text()


def test_an_example_count_that_changes_is_refused_from_then_on(lab: MakeLab) -> None:
    made = lab(4, site_b=lambda r, q: replace(r, examples=r.examples * 1000 if q.round > 1 else r.examples))
    outcome = made.run(rounds=3)
    statuses = [r["participation"]["site-b"]["status"] for r in outcome.rounds]
    assert statuses == ["accepted", "refused", "refused"]
    assert outcome.state.examples["site-b"] == 20


def test_a_norm_bound_refuses_what_is_beyond_it(lab: MakeLab) -> None:
    outcome = lab(4).run(rounds=1, norm_bound=5.0)
    # The norms are 1.22, 2.65, 4.18, 5.74 (see test_rounds for how they come about).
    statuses = {site: e["status"] for site, e in outcome.rounds[0]["participation"].items()}
    assert statuses == {"site-a": "accepted", "site-b": "accepted", "site-c": "accepted", "site-d": "refused"}


def test_a_reply_is_told_with_its_status_and_bytes(lab: MakeLab) -> None:
    made = lab(2, site_b=lambda r, q: Refusal("REFUSED_BY_POLICY"))
    outcome = made.run(rounds=1)
    told = {e.site: e for e in made.events if isinstance(e, SiteAnswered) and e.round == 1}
    assert (told["site-a"].status, told["site-b"].status) == ("accepted", "refused")
    for site, entry in outcome.rounds[0]["participation"].items():
        assert entry["bytes_up"] == told[site].bytes > 0


def test_a_site_that_gets_free_between_two_attempts_is_asked_in_the_second(lab: MakeLab) -> None:
    """Round 1 takes 10 seconds; site-b answers it at 10.5, site-c refuses round 2 at 11, which is asked again at 12."""
    made = lab(3, site_c=lambda r, q: Refusal("REFUSED_BY_POLICY") if q.round == 2 else r)
    made.delays = {"site-b": lambda number: 10.5 * (number == 1), "site-c": lambda number: 1.0 * (number == 2)}
    outcome = made.run(rounds=2, quorum=0.6, deadline_s=10.0)
    statuses = {site: entry["status"] for site, entry in outcome.rounds[1]["participation"].items()}
    assert statuses == {"site-a": "accepted", "site-b": "accepted", "site-c": "refused"}
    assert [request.round for request in made.sites["site-b"].asked] == [1, 2, 3]


def test_bytes_of_every_attempt_are_counted(lab: MakeLab) -> None:
    made = lab(2, site_b=lambda r, q: Refusal("REFUSED_BY_POLICY") if len(made.sites["site-b"].asked) < 3 else r)
    outcome = made.run(rounds=1, quorum=1.0)
    a, b = (outcome.rounds[0]["participation"][site] for site in ("site-a", "site-b"))
    assert b["status"] == "accepted"
    assert b["bytes_down"] == 3 * a["bytes_down"]
    assert b["bytes_up"] > a["bytes_up"]
