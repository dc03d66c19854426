"""The border of a site: what goes wrong inside leaves as a fixed word, and its text stays in the site's log."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from client.app import make_app
from common import wire
from common.compression import Compression
from common.compression.none import UNCOMPRESSED
from common.errors import DataError, RefusedError, SchemaError
from common.metrics.classes import ClassMeasure
from common.protocol import REASONS, Answer, Refusal, Reply, Request, RoundPlan
from common.state import AdapterSchema
from simulations.inprocess import task_identity

SECRET = "PATIENT-ID-123"
STATE = {"x": np.float32([1, 2]), "head.y": np.float32([3])}
SCHEMA = AdapterSchema.of(STATE, private=["head.*"])
SHARED = {"x": STATE["x"]}
ASKED = SCHEMA.shared


@dataclass(frozen=True)
class Site:
    work: Callable[[Request], Answer]
    name: str = "north"
    schema: AdapterSchema = SCHEMA
    compression: Compression = UNCOMPRESSED

    def answer(self, request: Request) -> Answer:
        return self.work(request)


def request(schema: str = SCHEMA.digest, plan: RoundPlan = RoundPlan()) -> Request:  # noqa: B008 # frozen
    return Request("train", "r", 1, 0, "sha256:s", schema, plan, (), SHARED)


def encoded(asked: Request) -> RecordDict:
    return wire.encode_request(asked, wire.pack_adapter(SHARED, SCHEMA))


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    with task_identity():
        yield


def context() -> Context:
    return Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})


def ask(site: Callable[[Context], Site], content: RecordDict, kind: str = "train") -> Message:
    question = wire.message(content, kind=kind, node=2, round_number=1)
    question.metadata.__dict__["_message_id"] = "m1"
    return make_app(site)(question, context())


def answered(site: Callable[[Context], Site], content: RecordDict) -> Answer:
    return wire.decode_answer(ask(site, content).content, ASKED, measure=ClassMeasure(2))


def good(asked: Request) -> Answer:
    return Reply({"x": np.float32([0.5, 0.5])}, 7, {"loss": 1.0}, {})


def test_a_reply_passes_through() -> None:
    answer = answered(lambda c: Site(good), encoded(request()))
    assert isinstance(answer, Reply)
    assert answer.update["x"].tolist() == [0.5, 0.5]


def test_a_query_is_answered_with_the_name() -> None:
    reply = ask(lambda c: Site(good), wire.encode_query(), kind="query")
    assert wire.decode_name(reply.content) == "north"


def failing(error: BaseException) -> Callable[[Request], Answer]:
    def work(asked: Request) -> Answer:
        raise error

    return work


def cause() -> RuntimeError:
    error = RuntimeError(f"row of {SECRET} in /data/hospital/rows.csv")
    error.__cause__ = KeyError(SECRET)
    return error


FAILURES = [
    cause(),
    KeyError(SECRET),
    DataError(SECRET),
    SchemaError(SECRET),
    MemoryError(SECRET),
    RefusedError(SECRET),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: type(e).__name__)
def test_nothing_of_an_exceptions_text_reaches_the_message(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="fedpeft.site"):
        reply = ask(lambda c: Site(failing(error)), encoded(request()))
    assert SECRET not in repr(reply.__dict__)
    assert wire.decode_answer(reply.content, ASKED, measure=ClassMeasure(2)) == Refusal("TRAINING_FAILED")
    assert not reply.has_error()
    if not isinstance(error, RefusedError):
        assert SECRET in caplog.text


def nowhere(context: Context) -> Site:
    raise DataError(f"no file /data/{SECRET}")


@pytest.mark.parametrize("kind", ["train", "evaluate", "query"])
def test_a_site_that_cannot_even_be_found_tells_nothing(kind: str) -> None:
    reply = ask(nowhere, encoded(request()), kind=kind)
    assert SECRET not in repr(reply.__dict__)
    assert wire.decode_answer(reply.content, ASKED, measure=ClassMeasure(2)) == Refusal("TRAINING_FAILED")


def test_ctrl_c_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(lambda c: Site(failing(KeyboardInterrupt())), encoded(request()))


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_refusal_keeps_its_word(reason: str) -> None:
    assert answered(lambda c: Site(failing(RefusedError(reason))), encoded(request())) == Refusal(reason)
    assert answered(lambda c: Site(lambda q: Refusal(reason)), encoded(request())) == Refusal(reason)


def test_a_free_text_refusal_is_not_sent() -> None:
    reply = ask(lambda c: Site(lambda q: Refusal(SECRET)), encoded(request()))
    assert SECRET not in repr(reply.__dict__)


def test_messages_that_are_no_requests_are_refused_before_the_site_sees_them() -> None:
    seen: list[Request] = []

    def site(context: Context) -> Site:
        return Site(lambda asked: seen.append(asked) or Refusal("TRAINING_FAILED"))

    wrong_plan = encoded(request(plan=RoundPlan(active=("nowhere",))))
    wrong_head = encoded(request())
    head = json.loads(str(wrong_head["head"]["json"]))
    wrong_head["head"]["json"] = json.dumps({**head, "kind": "steal"})
    for content in (RecordDict(), wrong_plan, wrong_head):
        assert answered(site, content) == Refusal("MALFORMED_REQUEST")
    assert answered(site, encoded(request(schema="sha256:other"))) == Refusal("WRONG_SCHEMA")
    assert seen == []


def test_what_the_site_returns_must_be_what_was_asked_for() -> None:
    for update in ({}, {"x": np.float32([1])}, {"x": np.float32([np.nan, 1])}, {**SHARED, "head.y": STATE["head.y"]}):
        site = Site(lambda q, update=update: Reply(update, 7, {}, {}))
        assert answered(lambda c, site=site: site, encoded(request())) == Refusal("TRAINING_FAILED")
