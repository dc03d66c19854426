"""Means over labels against scikit-learn's averages."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from common.errors import SchemaError
from common.metrics.multilabel import MultiLabelMeasure
from common.metrics.types import ScoreHistogram

RNG = np.random.default_rng


def draw(seed: int, rows: int = 40, labels: int = 2) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = RNG(seed)
    truth = rng.integers(0, 2, (rows, labels))
    chances = 1 / (1 + np.exp(-(rng.normal(size=(rows, labels)) + truth)))
    return chances, truth, [f"p{index}" for index in range(rows)]


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_metrics_are_scikit_learn_s_means_over_labels(labels: int) -> None:
    chances, truth, patients = draw(0, labels=labels)
    found = MultiLabelMeasure(labels).evaluate(chances, truth, patients, resamples=20, rng=RNG(0)).metrics
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, chances, average="macro"))
    assert found["auprc"].value == pytest.approx(average_precision_score(truth, chances, average="macro"))
    each = [f1_score(truth[:, label], chances[:, label] > 0.5) for label in range(labels)]
    assert found["f1"].value == pytest.approx(np.mean(each))
    losses = [log_loss(truth[:, label], chances[:, label]) for label in range(labels)]
    assert found["log_loss"].value == pytest.approx(np.mean(losses))
    assert found["accuracy"].value == pytest.approx(((chances > 0.5) == truth).mean())
    assert found["brier"].value == pytest.approx(((chances - truth) ** 2).mean())
    assert found["auroc"].low is not None


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_sites_pool_within_the_stated_error(labels: int) -> None:
    measure, parts = MultiLabelMeasure(labels), [draw(seed, labels=labels) for seed in range(3)]
    sites = {}
    for index, part in enumerate(parts):
        summary = measure.summary(*part)
        assert summary is not None
        sites[str(index)] = (measure.evaluate(*part, resamples=0, rng=RNG(0)), measure.read_summary(summary.to_json()))
    pooled = measure.pool(sites, resamples=100, rng=RNG(0))
    together = [np.concatenate([part[i] for part in parts]) for i in (0, 1)]
    whole = measure.evaluate(*together, [str(i) for i in range(120)], resamples=0, rng=RNG(0)).metrics
    for name, metric in pooled.items():
        assert metric.value == pytest.approx(whole[name].value, abs=(metric.error or 0) + 1e-12)
    own = measure.pool(sites, resamples=0, rng=RNG(0), one_model=False)
    assert (own["auroc"].value, own["accuracy"].value) == (None, pooled["accuracy"].value)
    without = measure.pool({"0": (sites["0"][0], None)}, resamples=0, rng=RNG(0))
    assert without["auroc"].reason == "no score histograms"


def test_a_label_that_all_rows_have_does_not_count() -> None:
    chances, truth, patients = draw(0)
    truth[:, 1] = 1
    found = MultiLabelMeasure(2).evaluate(chances, truth, patients, resamples=0, rng=RNG(0)).metrics
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth[:, 0], chances[:, 0]))
    truth[:, 0] = 0
    nothing = MultiLabelMeasure(2).evaluate(chances, truth, patients, resamples=3, rng=RNG(0)).metrics
    assert (nothing["auroc"].value, nothing["auroc"].reason) == (None, "one class only")


def test_the_difference_is_that_of_the_aurocs() -> None:
    chances, truth, patients = draw(0)
    other, _, _ = draw(1)
    found = MultiLabelMeasure(2).difference(chances, other, truth, patients, resamples=50, rng=RNG(0))
    assert found.value == pytest.approx(roc_auc_score(truth, chances) - roc_auc_score(truth, other))
    assert found.low is not None
    assert MultiLabelMeasure(2).difference(chances * np.nan, other, truth, patients, resamples=0, rng=RNG(0)).reason


def test_a_histogram_of_other_labels_is_none_of_ours() -> None:
    summary = MultiLabelMeasure(3).summary(*draw(0, labels=3))
    assert isinstance(summary, ScoreHistogram)
    with pytest.raises(SchemaError):
        MultiLabelMeasure(2).read_summary(summary.to_json())
