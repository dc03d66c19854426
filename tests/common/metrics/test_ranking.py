import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from common.metrics.ranking import auprc, auroc

SEEDS = st.integers(0, 2**32 - 1)


def _tied_rows(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with every class, few distinct probabilities, so that most scores tie."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2 * classes, 40))
    raw = rng.integers(1, 4, size=(n, classes)).astype(float)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    return raw / raw.sum(axis=1, keepdims=True), labels


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_two_classes_as_scikit_learn(seed: int) -> None:
    p, y = _tied_rows(seed, 2)
    ones = np.ones(len(y))
    assert auroc(p, y)(ones) == pytest.approx(roc_auc_score(y, p[:, 1]), abs=1e-12)
    assert auprc(p, y)(ones) == pytest.approx(average_precision_score(y, p[:, 1]), abs=1e-12)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_few_rows_without_ties_as_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.linspace(0.01, 0.99, int(rng.integers(2, 6))))
    p, y = np.stack([1 - positive, positive], axis=1), np.arange(len(positive)) % 2
    ones = np.ones(len(y))
    assert auroc(p, y)(ones) == pytest.approx(roc_auc_score(y, positive), abs=1e-12)
    assert auprc(p, y)(ones) == pytest.approx(average_precision_score(y, positive), abs=1e-12)


@given(SEEDS, st.sampled_from([3, 5]))
@settings(max_examples=40, deadline=None)
def test_more_classes_as_scikit_learn(seed: int, classes: int) -> None:
    p, y = _tied_rows(seed, classes)
    ones = np.ones(len(y))
    assert auroc(p, y)(ones) == pytest.approx(roc_auc_score(y, p, multi_class="ovr"), abs=1e-12)
    one_hot = np.eye(classes)[y]
    assert auprc(p, y)(ones) == pytest.approx(average_precision_score(one_hot, p, average="macro"), abs=1e-12)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_fractional_weights_as_scikit_learn(seed: int) -> None:
    p, y = _tied_rows(seed, 2)
    weights = np.random.default_rng(seed).uniform(0.1, 2, size=(3, len(y)))
    expected = [roc_auc_score(y, p[:, 1], sample_weight=w) for w in weights]
    np.testing.assert_allclose(auroc(p, y)(weights), expected)
    expected = [average_precision_score(y, p[:, 1], sample_weight=w) for w in weights]
    np.testing.assert_allclose(auprc(p, y)(weights), expected)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_absent_classes_do_not_count(seed: int) -> None:
    p, y = _tied_rows(seed, 3)
    wider = np.hstack([p, np.zeros((len(y), 1))])
    assert auroc(wider, y)(np.ones(len(y))) == auroc(p, y)(np.ones(len(y)))


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_mirrored_scores_mirror_the_auroc(seed: int) -> None:
    p, y = _tied_rows(seed, 2)
    ones = np.ones(len(y))
    assert auroc(p, y)(ones) + auroc(p[:, ::-1], y)(ones) == pytest.approx(1)


@pytest.mark.parametrize("metric", [auroc, auprc])
@pytest.mark.parametrize("classes", [2, 3])
def test_one_class_is_undefined(metric, classes: int) -> None:
    p = np.full((4, classes), 1 / classes)
    assert np.isnan(metric(p, np.ones(4, dtype=np.int64))(np.ones(4)))
    labels = np.array([0, 1, 1, 1])
    assert np.isnan(metric(p, labels)(np.array([0.0, 1, 1, 1])))
