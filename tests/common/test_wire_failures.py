"""What Flower carries beside content: errors, of which only a fixed word is told, and how long a message lives."""

from flwr.app import Error, Message, RecordDict

from common import wire
from simulations.inprocess import task_identity


def test_a_flower_error_is_a_fixed_word_without_its_text() -> None:
    with task_identity():
        question = wire.message(wire.encode_query(), kind="query", node=2, round_number=0)
        answer = Message(Error(code=2, reason="<class 'KeyError'>:<'PATIENT-ID-123'>"), reply_to=question)
    assert wire.failure_of(answer) == "APP_FAILED"
    assert wire.failure_of(question) is None


def test_a_message_outlives_its_deadline() -> None:
    with task_identity():
        long = wire.message(RecordDict(), kind="train", node=2, round_number=1, deadline_s=10**6)
    assert long.metadata.ttl == 2 * 10**6
    assert (long.metadata.group_id, long.metadata.dst_node_id, long.metadata.message_type) == ("1", 2, "train")
