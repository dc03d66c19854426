"""Answers survive JSON; whatever else a site sends is a SchemaError, never another exception."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.answers import from_json, to_json
from common.errors import SchemaError
from common.metrics.evaluation import evaluate
from common.metrics.histogram import score_histogram
from common.protocol import REASONS, Answer, Refusal, Reply, SplitEvaluation

CLASSES = 2


def read(content: Any) -> Answer:
    return from_json(content, update={}, extra={}, classes=CLASSES)


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
    assert (left.histogram is None) == (right.histogram is None)
    if left.histogram is not None and right.histogram is not None:
        assert (left.histogram.counts == right.histogram.counts).all()


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
