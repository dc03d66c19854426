import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from common.metrics.classification import accuracy, balanced_accuracy, f1, predict

SEEDS = st.integers(0, 2**32 - 1)


def _rows(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 30))
    raw = rng.integers(1, 4, size=(n, classes)).astype(float)
    labels = np.concatenate([[0, 1], rng.integers(classes, size=n - 2)])
    return raw / raw.sum(axis=1, keepdims=True), labels


@given(SEEDS, st.sampled_from([2, 3, 5]))
@settings(max_examples=60, deadline=None)
def test_as_scikit_learn(seed: int, classes: int) -> None:
    p, y = _rows(seed, classes)
    ones, predicted = np.ones(len(y)), p.argmax(axis=1)
    assert accuracy(p, y)(ones) == pytest.approx(accuracy_score(y, predicted))
    recalls = [np.mean(predicted[y == c] == c) for c in np.unique(y)]
    assert balanced_accuracy(p, y)(ones) == pytest.approx(np.mean(recalls))
    if set(predicted) <= set(y):  # else scikit-learn warns
        assert balanced_accuracy(p, y)(ones) == pytest.approx(balanced_accuracy_score(y, predicted))
    average = "binary" if classes == 2 else "macro"
    assert f1(p, y)(ones) == pytest.approx(f1_score(y, predicted, average=average))


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_fractional_weights_as_scikit_learn(seed: int) -> None:
    p, y = _rows(seed, 2)
    weights = np.random.default_rng(seed).uniform(0.1, 2, size=len(y))
    predicted = p.argmax(axis=1)
    assert accuracy(p, y)(weights) == pytest.approx(accuracy_score(y, predicted, sample_weight=weights))
    expected = balanced_accuracy_score(y, predicted, sample_weight=weights)
    assert balanced_accuracy(p, y)(weights) == pytest.approx(expected)
    assert f1(p, y)(weights) == pytest.approx(f1_score(y, predicted, sample_weight=weights))


def test_an_even_split_is_class_0() -> None:
    assert predict(np.array([[0.5, 0.5]])).tolist() == [0]
    assert predict(np.array([[0.4, 0.4, 0.2]])).tolist() == [0]


def test_one_class_leaves_balanced_accuracy_undefined() -> None:
    p, y = np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1])
    assert np.isnan(balanced_accuracy(p, y)(np.ones(2)))
    assert accuracy(p, y)(np.ones(2)) == 0.5
    assert f1(p, y)(np.ones(2)) == pytest.approx(2 / 3)


def test_f1_without_positives_is_undefined() -> None:
    assert np.isnan(f1(np.array([[0.9, 0.1]]), np.array([0]))(np.ones(1)))
