"""Round trips through Flower's own bytes, and what a hostile site might send instead of a reply."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from hypothesis import given
from hypothesis import strategies as st

from common import npy, wire
from common.errors import RefusedError, SchemaError
from common.metrics.classes import ClassMeasure
from common.metrics.histogram import score_histogram
from common.metrics.types import Metric, Scores
from common.protocol import REASONS, Refusal, Reply, Request, RoundPlan, SplitEvaluation, asked_schema
from common.state import AdapterSchema

STATE = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.scale": np.float32(2.5).reshape(()),
    "c.bias": np.float64([1.0, -2.0]),
    "head.weight": np.ones(2, np.float32),
}
SCHEMA = AdapterSchema.of(STATE, private=["head.*"])
SHARED = {name: STATE[name] for name in SCHEMA.shared.names}
REQUEST = Request(
    kind="train",
    run="r1",
    round=3,
    seed=9,
    study="sha256:s",
    schema=SCHEMA.digest,
    plan=RoundPlan(active=("a.weight", "c.bias"), proximal_mu=0.1, rank=4, extra={"c": 1.5}),
    splits=("validation",),
    shared=SHARED,
)
ASKED = asked_schema(SCHEMA, "train", REQUEST.plan)


def reply(**changes: Any) -> Reply:
    rng = np.random.default_rng(0)
    scores = Scores(5, 4, {"auroc": Metric(None, 5, reason="one class only"), "brier": Metric(0.25, 5, 0.1, 0.4)})
    chances = rng.random(5)
    histogram = score_histogram(np.stack([1 - chances, chances], axis=1), np.int64([0, 1, 1, 0, 1]), classes=2)
    base = Reply(
        update={name: SHARED[name] for name in ASKED.names},
        examples=12,
        train={"loss": 0.5},
        evaluations={"validation": SplitEvaluation(scores, histogram)},
        extra={"c/a.weight": np.float64([[1, 2]]), "c/steps": np.int64([3])},
    )
    return replace(base, **changes)


def through_flower(content: RecordDict) -> RecordDict:
    return recorddict_from_proto(recorddict_to_proto(content))


def same(left: Any, right: Any) -> bool:
    return set(left) == set(right) and all(
        left[n].dtype == right[n].dtype and left[n].shape == right[n].shape and left[n].tobytes() == right[n].tobytes()
        for n in left
    )


def test_a_request_comes_back_equal_through_flowers_bytes() -> None:
    content = wire.encode_request(REQUEST, wire.pack_adapter(SHARED, SCHEMA))
    read = wire.decode_request(through_flower(content), SCHEMA)
    assert same(read.shared, SHARED)
    assert replace(read, shared=SHARED) == REQUEST
    assert read.digest == REQUEST.digest
    assert not any(array.flags.writeable for array in read.shared.values())  # it is the message itself


def test_tensors_travel_as_one_array_per_dtype() -> None:
    content = wire.encode_request(REQUEST, wire.pack_adapter(SHARED, SCHEMA))
    assert {dtype: array.shape for dtype, array in content["adapter"].items()} == {"float32": (7,), "float64": (2,)}
    payload = 7 * 4 + 2 * 8 + 2 * npy.HEADER_BYTES
    assert wire.size_bytes(content) == payload + len(content["head"]["json"])


def test_a_reply_comes_back_equal_through_flowers_bytes() -> None:
    sent = reply()
    read = wire.decode_answer(through_flower(wire.encode_answer(sent, ASKED)), ASKED, measure=ClassMeasure(2))
    assert isinstance(read, Reply)
    assert same(read.update, sent.update)
    assert same(read.extra, sent.extra)
    assert (read.examples, read.train) == (12, {"loss": 0.5})
    found, expected = read.evaluations["validation"], sent.evaluations["validation"]
    assert found.scores == expected.scores
    assert found.summary is not None
    assert expected.summary is not None
    np.testing.assert_array_equal(found.summary.counts, expected.summary.counts)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_refusal_comes_back(reason: str) -> None:
    content = wire.encode_answer(Refusal(reason), ASKED)
    assert wire.decode_answer(through_flower(content), ASKED, measure=ClassMeasure(2)) == Refusal(reason)


def test_an_evaluation_carries_no_tensors() -> None:
    asked = asked_schema(SCHEMA, "evaluate", RoundPlan())
    read = wire.decode_answer(wire.encode_answer(reply(update={}, extra={}), asked), asked, measure=ClassMeasure(2))
    assert isinstance(read, Reply)
    assert read.update == {}


def test_a_record_without_tensors_costs_no_request() -> None:
    asked = asked_schema(SCHEMA, "evaluate", RoundPlan())
    assert set(wire.encode_answer(reply(extra={}), ASKED)) == {"head", "update"}
    assert set(wire.encode_answer(reply(update={}, extra={}), asked)) == {"head"}


@pytest.mark.parametrize("name", ["update", "extra"])
def test_a_record_is_there_if_it_has_tensors_and_only_then(name: str) -> None:
    full, lean = wire.encode_answer(reply(), ASKED), wire.encode_answer(reply(extra={}), ASKED)
    del full[name]
    lean["extra"] = ArrayRecord()
    for content in (full, lean):
        with pytest.raises(SchemaError):
            wire.decode_answer(content, ASKED, measure=ClassMeasure(2))


def test_a_site_does_not_encode_what_was_not_asked_for() -> None:
    wrong = {"a.weight": SHARED["a.weight"].T, "c.bias": SHARED["c.bias"]}
    for update in (
        wrong,
        SHARED,
        {},
        {"a.weight": SHARED["a.weight"] * np.float32(np.nan), "c.bias": SHARED["c.bias"]},
    ):
        with pytest.raises(SchemaError):
            wire.encode_answer(reply(update=update), ASKED)


def test_a_request_for_another_adapter_is_refused_in_a_fixed_word() -> None:
    other = AdapterSchema.of({"a.weight": np.zeros((2, 3), np.float32)})
    with pytest.raises(RefusedError) as caught:
        wire.decode_request(wire.encode_request(REQUEST, wire.pack_adapter(SHARED, SCHEMA)), other)
    assert caught.value.reason == "WRONG_SCHEMA"


Change = Callable[[RecordDict], None]


def record(content: RecordDict, name: str) -> Any:
    return content[name]


def put_array(array: Any, key: str = "float32") -> Change:
    def change(content: RecordDict) -> None:
        record(content, "update")[key] = array

    return change


def put_head(**changes: Any) -> Change:
    def change(content: RecordDict) -> None:
        head = json.loads(record(content, "head")["json"])
        content["head"] = ConfigRecord({"json": json.dumps({**head, **changes})})

    return change


def put_answer(**changes: Any) -> Change:
    def change(content: RecordDict) -> None:
        head = json.loads(record(content, "head")["json"])
        content["head"] = ConfigRecord({"json": json.dumps({**head, "answer": {**head["answer"], **changes}})})

    return change


def put_record(name: str, value: Any) -> Change:
    def change(content: RecordDict) -> None:
        content[name] = value

    return change


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([print] * 6, dtype=object), allow_pickle=True)
    return buffer.getvalue()


def array(data: bytes, *, dtype: str = "float32", shape: tuple[int, ...] = (6,), stype: str = "numpy.ndarray") -> Array:
    return Array(dtype, shape, stype, data)


GOOD = npy.encode(np.zeros(6, np.float32))
HOSTILE: dict[str, Change] = {
    "NaN": put_array(array(npy.encode(np.full(6, np.nan, np.float32)))),
    "infinity": put_array(array(npy.encode(np.full(6, np.inf, np.float32)))),
    "too short": put_array(array(npy.encode(np.zeros(5, np.float32)))),
    "too long": put_array(array(npy.encode(np.zeros(7, np.float32)))),
    "lying shape": put_array(array(GOOD, shape=(2, 3))),
    "lying length": put_array(array(npy.encode(np.zeros(600, np.float32)))),
    "lying dtype": put_array(array(npy.encode(np.zeros(3, np.float64)))),
    "declared float64": put_array(array(GOOD, dtype="float64")),
    "4 TB header": put_array(array(npy.header("float32", 10**12) + bytes(24))),
    "no npy": put_array(array(bytes(len(GOOD)))),
    "other stype": put_array(array(GOOD, stype="torch")),
    "pickled": put_array(array(pickled())),
    "empty": put_array(array(b"")),
    "extra tensor": put_array(array(GOOD), key="stowaway"),
    "no arrays": put_record("update", ArrayRecord()),
    "not arrays": put_record("update", ConfigRecord({"float32": 1})),
    "metrics for arrays": put_record("update", MetricRecord({"float32": 1.0})),
    "extra record": put_record("more", ConfigRecord({"a": 1})),
    "head of arrays": put_record("head", ArrayRecord()),
    "head of bytes": put_record("head", ConfigRecord({"json": b"{}"})),
    "head and more": put_record("head", ConfigRecord({"json": "{}", "more": 1})),
    "empty head": put_record("head", ConfigRecord({"json": ""})),
    "head is a list": put_record("head", ConfigRecord({"json": "[]"})),
    "head is deep": put_record("head", ConfigRecord({"json": "[" * 10**5})),
    "head is huge": put_record("head", ConfigRecord({"json": " " * (wire.MAX_TEXT + 1)})),
    "other schema": put_head(schema="sha256:other"),
    "no schema": put_head(schema=None),
    "schema is a table": put_head(schema={}),
    "extra undescribed": put_head(extra=[]),
    "extra of 4 TB": put_head(extra=[{"name": "x", "shape": [2**40], "dtype": "float32", "group": "shared"}]),
    "answer is text": put_head(answer="yes"),
    "answer refuses with tensors": put_head(answer={"refused": "free text of a patient"}),
    "examples is text": put_answer(examples="12"),
    "examples is true": put_answer(examples=True),
    "examples is a fraction": put_answer(examples=1.5),
    "train is text": put_answer(train="loss"),
    "train of lists": put_answer(train={"loss": [1]}),
    "evaluations are a list": put_answer(evaluations=[]),
    "unknown split": put_answer(evaluations={"train": {"scores": {}, "histogram": None}}),
    "histogram of words": put_answer(evaluations={"validation": {"scores": {}, "histogram": {"cells": "all"}}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_site_sends_is_a_schema_error(name: str) -> None:
    content = wire.encode_answer(reply(), ASKED)
    HOSTILE[name](content)
    with pytest.raises(SchemaError):
        wire.decode_answer(content, ASKED, measure=ClassMeasure(2))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from(["answer", "schema", "extra"]), value=JSON)
def test_any_json_in_the_head_is_read_or_a_schema_error(key: str, value: Any) -> None:
    content = wire.encode_answer(reply(), ASKED)
    put_head(**{key: value})(content)
    with pytest.raises(SchemaError):
        wire.decode_answer(content, ASKED, measure=ClassMeasure(2))


@given(key=st.sampled_from(["examples", "train", "evaluations"]), value=JSON)
def test_any_json_in_the_answer_is_read_or_a_schema_error(key: str, value: Any) -> None:
    content = wire.encode_answer(reply(), ASKED)
    put_answer(**{key: value})(content)
    with contextlib.suppress(SchemaError):
        assert isinstance(wire.decode_answer(content, ASKED, measure=ClassMeasure(2)), Reply)


@given(st.sampled_from(["kind", "run", "round", "seed", "study", "plan", "splits", "adapter_schema"]), JSON)
def test_any_json_in_a_request_is_read_or_declined(key: str, value: Any) -> None:
    content = wire.encode_request(REQUEST, wire.pack_adapter(SHARED, SCHEMA))
    head = json.loads(record(content, "head")["json"])
    content["head"] = ConfigRecord({"json": json.dumps({**head, key: value})})
    with contextlib.suppress(SchemaError, RefusedError):
        assert isinstance(wire.decode_request(content, SCHEMA), Request)


def test_a_name_comes_back_and_nothing_else_passes_for_one() -> None:
    assert wire.decode_name(through_flower(wire.encode_name("north"))) == "north"
    for content in (RecordDict(), RecordDict({"name": ConfigRecord({"name": 3})}), RecordDict({"name": ArrayRecord()})):
        with pytest.raises(SchemaError):
            wire.decode_name(content)
