"""Errors in place of answers: each of our words has a code of its own, and no other text comes through."""

import pytest
from flwr.app import Error, Message, RecordDict

from common import wire
from common.failures import GATEWAY_FAILURES, failure_reply, word_of
from simulations.inprocess import task_identity

REASONS_OF_OTHERS = [(2, "APP_FAILED"), (5, "SITE_UNAVAILABLE"), (999, "ERROR_999"), (5000, "ERROR_5000")]


def question() -> Message:
    message = wire.message(RecordDict(), kind="train", node=2, round_number=1)
    message.metadata.__dict__["_message_id"] = "1"
    return message


def test_each_word_comes_back() -> None:
    with task_identity():
        replies = [failure_reply(word, question()) for word in GATEWAY_FAILURES]
    assert [wire.failure_of(reply) for reply in replies] == list(GATEWAY_FAILURES)
    assert len({reply.error.code for reply in replies}) == len(GATEWAY_FAILURES)
    assert all(reply.error.code >= 1000 for reply in replies)


def test_another_word_never_leaves() -> None:
    with task_identity():
        reply = failure_reply("PATIENT-ID-123", question())
    assert (wire.failure_of(reply), reply.error.reason) == ("GATEWAY_ERROR", "GATEWAY_ERROR")


@pytest.mark.parametrize(("code", "word"), REASONS_OF_OTHERS)
def test_the_text_beside_a_code_is_not_read(code: int, word: str) -> None:
    with task_identity():
        reply = Message(Error(code=code, reason="PATIENT-ID-123"), reply_to=question())
    assert wire.failure_of(reply) == word == word_of(code)
