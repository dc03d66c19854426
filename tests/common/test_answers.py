"""Answers survive JSON; whatever else a site sends is a SchemaError, never another exception."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import wire
from common.answers import from_json, payload_digest, to_json
from common.errors import SchemaError
from common.files import digest_json
from common.metrics.classes import ClassMeasure
from common.metrics.evaluation import evaluate
from common.metrics.histogram import score_histogram
from common.metrics.types import Metric
from common.protocol import REASONS, Answer, Refusal, Reply, SplitEvaluation
from common.state import AdapterSchema, digest_state

CLASSES = 2


def read(content: Any) -> Answer:
    return from_json(content, update={}, extra={}, measure=ClassMeasure(CLASSES))


def a_reply(*, rows: int = 6, histogram: bool = True) -> Reply:
    rng = np.random.default_rng(0)
    positive = rng.uniform(size=rows)
    probabilities, labels = np.stack([1 - positive, positive], axis=1), np.arange(rows) % 2
    scores = evaluate(probabilities, labels, [str(i) for i in range(rows)], resamples=9, rng=rng)
    counts = score_histogram(probabilities, labels, classes=CLASSES) if histogram else None
    return Reply({}, rows, {"loss": 0.25, "steps": 3}, {"validation": SplitEvaluation(scores, counts)})


@pytest.mark.parametrize("histogram", [True, False])
def test_a_reply_survives_json(histogram: bool) -> None:
    reply = a_reply(histogram=histogram)
    content = json.loads(json.dumps(to_json(reply), allow_nan=False))
    found = read(content)
    assert isinstance(found, Reply)
    assert (found.examples, found.train) == (reply.examples, reply.train)
    left, right = found.evaluations["validation"], reply.evaluations["validation"]
    assert left.scores == right.scores
    assert (left.summary is None) == (right.summary is None)
    if left.summary is not None and right.summary is not None:
        assert (left.summary.counts == right.summary.counts).all()


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_refusal_survives_json(reason: str) -> None:
    assert read(json.loads(json.dumps(to_json(Refusal(reason))))) == Refusal(reason)


def changed(**changes: Any) -> Mapping[str, Any]:
    return {**to_json(a_reply()), **changes}


EVALUATION = to_json(a_reply())["evaluations"]["validation"]
WRONG: Mapping[str, Any] = {
    "a list": [],
    "nothing": None,
    "a free word": {"refused": "the patient's name is"},
    "no word": {"refused": None},
    "a list of words": {"refused": ["WRONG_STUDY"]},
    "a refusal and more": {"refused": "WRONG_STUDY", "examples": 1},
    "another key": changed(note="x"),
    "negative examples": changed(examples=-1),
    "fractional examples": changed(examples=1.5),
    "examples true": changed(examples=True),
    "train a list": changed(train=[]),
    "train a word": changed(train={"loss": "low"}),
    "train nan": changed(train={"loss": float("nan")}),
    "train true": changed(train={"loss": True}),
    "evaluations a list": changed(evaluations=[]),
    "another split": changed(evaluations={"train": EVALUATION}),
    "evaluation a number": changed(evaluations={"test": 1}),
    "evaluation with rows": changed(evaluations={"test": {**EVALUATION, "rows": []}}),
    "histogram of other rows": changed(evaluations={"test": {**EVALUATION, "histogram": {"cells": [[0, 5]]}}}),
    "histogram a word": changed(evaluations={"test": {**EVALUATION, "histogram": "x"}}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_anything_else_is_a_schema_error(kind: str) -> None:
    with pytest.raises(SchemaError):
        read(WRONG[kind])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, st.sampled_from(["", "refused", "examples", "train", "evaluations"]))
def test_no_json_at_all_raises_anything_but_a_schema_error(value: Any, place: str) -> None:
    content = {"": value, "refused": {"refused": value}}.get(place, changed(**{place: value}))
    with suppress(SchemaError):
        read(content)


UPDATE = {"a": np.float32([[1, 2]]), "b.scale": np.array(0.1, np.float32), "c": np.float64([1 / 3])}
FULL = replace(a_reply(), update=UPDATE, extra={"x": np.int64([3])})


def test_the_digest_of_a_payload_is_over_all_that_it_says() -> None:
    content = {**to_json(FULL), "train": {"loss": 0.25, "steps": 3.0}}
    assert payload_digest(FULL) == digest_json([content, digest_state(UPDATE), digest_state(FULL.extra)])
    assert payload_digest(Refusal("WRONG_STUDY")) is None


@pytest.mark.parametrize("histogram", [True, False])
def test_the_server_s_digest_of_what_it_read_is_the_site_s(histogram: bool) -> None:
    """Through the message, with whole numbers where a figure may be one."""
    reply = replace(FULL, evaluations=a_reply(histogram=histogram).evaluations)
    asked = AdapterSchema.of(UPDATE)
    content = wire.from_frame(wire.to_frame(wire.encode_answer(reply, asked)))
    read_back = wire.decode_answer(content, asked, measure=ClassMeasure(CLASSES))
    assert payload_digest(read_back) == payload_digest(reply)


def _with_metric(**changes: Any) -> Reply:
    evaluation = FULL.evaluations["validation"]
    metrics = {**evaluation.scores.metrics, "auroc": Metric(**{"value": 0.5, "n": 6, **changes})}
    return replace(
        FULL, evaluations={"validation": replace(evaluation, scores=replace(evaluation.scores, metrics=metrics))}
    )


OTHER = {
    "a value of a tensor": replace(FULL, update={**UPDATE, "a": np.float32([[1, 3]])}),
    "a shape": replace(FULL, update={**UPDATE, "a": np.float32([[1], [2]])}),
    "a dtype": replace(FULL, update={**UPDATE, "c": np.zeros(1, np.float64).astype(np.float32)}),
    "an extra array in the update": replace(FULL, update={**UPDATE, **FULL.extra}, extra={}),
    "the count": replace(FULL, examples=7),
    "a figure": replace(FULL, train={"loss": 0.25, "steps": 4}),
    "no histogram": replace(FULL, evaluations=a_reply(histogram=False).evaluations),
    "another split": replace(FULL, evaluations={"test": FULL.evaluations["validation"]}),
    "a metric": _with_metric(),
    "a metric's reason": _with_metric(reason="few"),
}


def test_whatever_is_changed_the_digest_is_another() -> None:
    digests = [payload_digest(reply) for reply in (FULL, *OTHER.values())]
    assert len(set(digests)) == len(digests)


def test_a_text_that_is_not_unicode_has_no_digest() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        payload_digest(_with_metric(reason="\ud800"))
