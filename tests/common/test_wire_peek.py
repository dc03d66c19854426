"""The head of a request says of which study it is, before anything that depends on the study is looked at."""

import json

import numpy as np
import pytest

from common import wire
from common.errors import SchemaError
from common.protocol import Request, RoundPlan
from common.state import AdapterSchema

STATE = {"x": np.float32([1, 2])}
SCHEMA = AdapterSchema.of(STATE)


def content() -> wire.Content:
    request = Request("train", "run-1", 3, 0, "sha256:study", SCHEMA.digest, RoundPlan(), (), STATE)
    return wire.encode_request(request, wire.pack_adapter(STATE, SCHEMA))


def test_the_head_is_read_without_the_schema() -> None:
    head = wire.peek_request(content())
    assert (head.study, head.run, head.round, head.kind) == ("sha256:study", "run-1", 3, "train")


WRONG = [{"study": 7}, {"study": "x" * 72}, {"run": "x" * 65}, {"kind": "steal"}, {"more": 1}]


@pytest.mark.parametrize("change", WRONG)
def test_a_head_that_is_none_is_refused(change: dict[str, object]) -> None:
    message = content()
    head = json.loads(str(message["head"]["json"]))  # type: ignore[index] # a ConfigRecord
    message["head"]["json"] = json.dumps({**head, **change})  # type: ignore[index]
    with pytest.raises(SchemaError):
        wire.peek_request(message)


def test_other_messages_have_no_head() -> None:
    for message in (wire.encode_query(), wire.encode_name("x"), wire.encode_value({"study": "sha256:study"})):
        with pytest.raises(SchemaError):
            wire.peek_request(message)
