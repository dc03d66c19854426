"""The gate's rule on known scores: who loses more than the bound is not used; what cannot be judged changes nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from client.acceptance import FEWEST, HeldOut, Verdict, judge
from common.metrics.classes import ClassMeasure
from common.metrics.measure import Measure, MetricInfo
from common.metrics.multilabel import MultiLabelMeasure
from common.metrics.sums import SumMeasure, SumMetric, ratio
from common.metrics.types import Floats
from common.tasks.sequence_classification import SequenceClassification

SEEDS = st.integers(0, 2**32 - 1)
BOUNDS = st.floats(0, 0.5)


def scores(seed: int, rows: int) -> Floats:
    positive = np.random.default_rng(seed).uniform(0.01, 0.99, size=rows)
    return np.stack([1 - positive, positive], axis=1)


def held_out(labels: NDArray[np.int64]) -> HeldOut:
    return HeldOut(labels, [f"p{i // 2}" for i in range(len(labels))])


def verdict(
    candidate: Floats,
    current: Floats | None,
    rows: HeldOut,
    *,
    max_loss: float = 0.02,
    measure: Measure | None = None,
    resamples: int = 20,
) -> Verdict:
    chosen = ClassMeasure(2) if measure is None else measure
    rng = np.random.default_rng(0)
    return judge(chosen, candidate, current, rows, max_loss=max_loss, resamples=resamples, rng=rng)


@given(SEEDS, st.integers(4, 40), BOUNDS)
def test_the_rule_is_on_the_difference_of_the_leading_metric(seed: int, rows: int, bound: float) -> None:
    labels = np.arange(rows) % 2
    new, old = scores(seed, rows), scores(seed + 1, rows)
    found = verdict(new, old, held_out(labels), max_loss=bound)
    gain = roc_auc_score(labels, new[:, 1]) - roc_auc_score(labels, old[:, 1])
    assert found.compared is not None
    assert found.compared.gain.value == pytest.approx(gain)
    if abs(gain + bound) > 1e-9:
        assert found.is_accepted is (gain >= -bound)


@given(SEEDS, st.integers(1, 40))
def test_what_is_no_worse_is_used_at_any_bound(seed: int, rows: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, size=rows)
    found = verdict(scores(seed, rows), scores(seed, rows), held_out(labels), max_loss=0.0)
    assert found.is_accepted
    assert found.compared is not None
    assert found.compared.gain.value == 0


@given(SEEDS, BOUNDS, BOUNDS)
def test_a_larger_bound_lets_no_less_in(seed: int, one: float, other: float) -> None:
    labels, new, old = np.arange(12) % 2, scores(seed, 12), scores(seed + 1, 12)
    low, high = (verdict(new, old, held_out(labels), max_loss=b).is_accepted for b in sorted((one, other)))
    assert high or not low


@given(SEEDS)
def test_of_two_that_differ_one_is_not_used_at_bound_0(seed: int) -> None:
    labels, new, old = np.arange(12) % 2, scores(seed, 12), scores(seed + 1, 12)
    there, back = (verdict(a, b, held_out(labels), max_loss=0.0) for a, b in ((new, old), (old, new)))
    assert there.compared is not None
    assert back.compared is not None
    assert there.compared.gain.value == pytest.approx(-(back.compared.gain.value or 0))
    assert there.is_accepted or back.is_accepted
    assert not (there.is_accepted and back.is_accepted) or there.compared.gain.value == pytest.approx(0)


@given(SEEDS, st.integers(1, 20), st.sampled_from([0, 1]))
def test_one_class_alone_is_judged_by_its_loss(seed: int, rows: int, label: int) -> None:
    labels = np.full(rows, label)
    new, old = scores(seed, rows), scores(seed + 1, rows)
    found = verdict(new, old, held_out(labels), max_loss=0.0)
    gain = log_loss(labels, old, labels=[0, 1]) - log_loss(labels, new, labels=[0, 1])
    assert found.compared is not None
    assert found.compared.metric.name == "log_loss"
    assert found.compared.gain.value == pytest.approx(gain)
    assert found.is_accepted is (gain >= 0)
    assert "AUROC is not defined here (one class only)" in found.why


@pytest.mark.parametrize(("patients", "name"), [(FEWEST - 1, "log_loss"), (FEWEST, "auroc")])
def test_a_rank_of_few_patients_decides_nothing(patients: int, name: str) -> None:
    labels = np.array([0] * 20 + [1] * patients)
    new, old = scores(1, len(labels)), scores(2, len(labels))
    task = SequenceClassification(("no", "yes"))
    rows = HeldOut.of(task, labels, [f"p{i}" for i in range(len(labels))])
    found = verdict(new, old, rows)
    assert found.compared is not None
    assert found.compared.metric.name == name
    assert ("AUROC says little, with 4 patients" in found.why) is (name == "log_loss")


def test_an_interval_holds_the_gain_and_is_said() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, size=200)
    positive = np.clip(0.4 * labels + rng.uniform(0, 0.6, size=200), 0, 1)
    new = np.stack([1 - positive, positive], axis=1)
    found = verdict(new, scores(3, 200), held_out(labels), resamples=300)
    assert found.compared is not None
    gain = found.compared.gain
    assert gain.low is not None
    assert gain.high is not None
    assert gain.value is not None
    assert 0 < gain.low < gain.value < gain.high
    assert f"{gain.low:+.3f} to {gain.high:+.3f}" in found.why


def test_where_lower_is_better_a_rise_is_a_loss() -> None:
    info = MetricInfo("rmse", "RMSE", "", higher_is_better=False, high=np.inf)
    measure = SumMeasure(("n", "error"), (SumMetric(info, ratio(1, 0), "no rows"),), choosing=("rmse",), tuning="rmse")
    rows = HeldOut(np.zeros(6), [f"p{i}" for i in range(6)])
    old, new = (np.stack([np.ones(6), np.full(6, error)], axis=1) for error in (1.0, 1.5))
    worse, better = verdict(new, old, rows, measure=measure), verdict(old, new, rows, measure=measure)
    assert (worse.is_accepted, better.is_accepted) == (False, True)
    assert "RMSE is 0.500 worse" in worse.why
    assert verdict(new, old, rows, measure=measure, max_loss=0.5).is_accepted  # exactly the bound


def test_several_labels_are_judged_by_their_mean() -> None:
    labels = np.array([[0, 1], [1, 0], [0, 1], [1, 0]])
    right = labels * 0.8 + 0.1
    rows = HeldOut(labels, ["a", "b", "c", "d"])
    assert verdict(right, 1 - right, rows, measure=MultiLabelMeasure(2)).is_accepted
    found = verdict(1 - right, right, rows, measure=MultiLabelMeasure(2))
    assert found.compared is not None
    assert found.compared.gain.value == -1.0
    assert not found.is_accepted


LABELS = np.array([0, 1, 0, 1])
BROKEN = np.full((4, 2), np.nan)
NOTHING = np.zeros((0, 2))


@pytest.mark.parametrize(
    ("candidate", "current", "labels", "accepted", "why"),
    [
        (scores(0, 4), None, LABELS, True, "nothing to compare with"),
        (BROKEN, None, LABELS, False, "its scores are not finite"),
        (BROKEN, scores(0, 4), LABELS, False, "its scores are not finite"),
        (scores(0, 4), BROKEN, LABELS, True, "the version in use are not finite"),
        (NOTHING, NOTHING, LABELS[:0], False, "no validation rows"),
        (NOTHING, None, LABELS[:0], True, "nothing to compare with"),
    ],
)
def test_what_cannot_be_compared(
    candidate: Floats, current: Floats | None, labels: NDArray[np.int64], accepted: bool, why: str
) -> None:
    found = verdict(candidate, current, held_out(labels))
    assert found.is_accepted is accepted
    assert why in found.why
    assert found.compared is None
    assert found.to_json()["compared"] is None


def test_a_verdict_is_json() -> None:
    content = verdict(scores(0, 4), scores(1, 4), held_out(LABELS)).to_json()
    assert content["compared"]["metric"] == "auroc"
    assert (content["rows"], content["patients"]) == (4, 2)
