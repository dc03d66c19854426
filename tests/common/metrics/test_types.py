import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import SchemaError
from common.metrics.evaluation import evaluate
from common.metrics.histogram import score_histogram
from common.metrics.types import Metric, ScoreHistogram, Scores, curves_of

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
METRICS = st.builds(
    Metric, NUMBERS, st.integers(0, 10**6), NUMBERS, NUMBERS, reason=st.none() | st.text(), error=NUMBERS
)


def _through_json(value: object) -> object:
    return json.loads(json.dumps(value, allow_nan=False))


@given(METRICS)
@settings(max_examples=60, deadline=None)
def test_a_metric_comes_back(metric: Metric) -> None:
    assert Metric.from_json(_through_json(metric.to_json())) == metric


def test_optional_fields_are_written_only_when_there() -> None:
    assert set(Metric(0.5, 3).to_json()) == {"value", "low", "high", "n"}
    assert set(Metric(None, 3, reason="no rows", error=0.1).to_json()) == {
        "value",
        "low",
        "high",
        "n",
        "reason",
        "error",
    }


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3]), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_scores_and_histograms_come_back(seed: int, classes: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet(np.ones(classes), size=n), rng.integers(classes, size=n)
    scores = evaluate(p, y, [str(i) for i in range(n)], resamples=5, rng=rng)
    assert Scores.from_json(_through_json(scores.to_json())) == scores
    histogram = score_histogram(p, y, classes=classes)
    back = ScoreHistogram.from_json(_through_json(histogram.to_json()), curves=curves_of(classes))
    assert (back.counts == histogram.counts).all()
    assert back.counts.dtype == np.int64


@pytest.mark.parametrize(
    "change",
    [
        {"value": float("nan")},
        {"value": float("inf")},
        {"value": "0.5"},
        {"value": True},
        {"n": -1},
        {"n": 1.5},
        {"n": 2**60},
        {"reason": 3},
        {"extra": 1},
    ],
)
def test_a_metric_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SchemaError):
        Metric.from_json({"value": 0.5, "low": None, "high": None, "n": 2} | change)


@pytest.mark.parametrize("content", [None, [], {"n": 1}, {"n": 1, "patients": 1, "metrics": [1]}])
def test_scores_that_do_not_fit_are_refused(content: object) -> None:
    with pytest.raises(SchemaError):
        Scores.from_json(content)


@pytest.mark.parametrize(
    "cells", [None, [3], [[0]], [[0, -1]], [[-1, 1]], [[10**9, 1]], [[0, 1.5]], [[0, 2**60]], [["0", 1]], [[0, 1]]]
)
def test_a_histogram_that_does_not_fit_is_refused(cells: object) -> None:
    """The last has a row in one of three curves only."""
    with pytest.raises(SchemaError):
        ScoreHistogram.from_json({"cells": cells}, curves=3)
