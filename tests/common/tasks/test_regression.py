"""Errors against scikit-learn, and the scale that the head learns on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from common import plugins
from common.errors import StudyError
from common.tasks import Example
from common.tasks.regression import MEASURE, Regression

TASK = Regression(offset=20.0, scale=10.0)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9), st.integers(0, 9))
def test_metrics_are_scikit_learn_s(targets: list[float], seed: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=len(targets)))
    batch = {"targets": torch.tensor(targets, dtype=torch.float64)}
    scores = TASK.scores(logits, batch).numpy()
    found = MEASURE.evaluate(
        scores, np.empty(0), list("abcdefghi")[: len(targets)], resamples=0, rng=np.random.default_rng()
    )
    values = {name: metric.value for name, metric in found.metrics.items()}
    predicted = 20 + 10 * logits.numpy()
    assert values["mae"] == pytest.approx(mean_absolute_error(targets, predicted))
    assert values["squared_error"] == pytest.approx(mean_squared_error(targets, predicted))
    assert values["rmse"] == pytest.approx(np.sqrt(mean_squared_error(targets, predicted)))
    if np.std(targets) > 0.1:
        assert values["r2"] == pytest.approx(r2_score(targets, predicted))


def test_equal_targets_have_no_r2() -> None:
    scores = TASK.scores(torch.zeros(3), {"targets": torch.full((3,), 7.3, dtype=torch.float64)}).numpy()
    metrics = MEASURE.evaluate(scores, np.empty(0), list("abc"), resamples=0, rng=np.random.default_rng()).metrics
    assert (metrics["r2"].value, metrics["r2"].reason) == (None, "all targets are equal")


def test_the_loss_is_on_the_head_s_scale() -> None:
    batch = TASK.collate([Example((1,), 30.0), Example((1, 2), 20.0)], pad_id=0)
    assert float(TASK.loss(torch.tensor([0.0, 2.0]), batch)) == pytest.approx((1 + 4) / 2)


@pytest.mark.parametrize(("text", "value"), [(" 7.5 ", 7.5), ("-3", -3.0), ("", None), ("seven", None), ("nan", None)])
def test_a_label_is_a_finite_number(text: str, value: float | None) -> None:
    assert TASK.read_label(text) == value


@pytest.mark.parametrize("scale", [0, -1])
def test_a_scale_is_above_zero(scale: float) -> None:
    with pytest.raises(StudyError, match="scale must be above 0"):
        plugins.build("common.tasks", "regression", {"scale": scale}, key="task.kind")
