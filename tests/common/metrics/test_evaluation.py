import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from common.metrics.evaluation import _PREPARE, METRICS, evaluate, paired_difference
from common.metrics.types import Scores

SEEDS = st.integers(0, 2**32 - 1)


def _rows(seed: int, classes: int = 2, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 25)) if n is None else n
    raw = rng.integers(1, 5, size=(size, classes)).astype(float)
    return raw / raw.sum(axis=1, keepdims=True), rng.integers(classes, size=size)


def _evaluate(p: np.ndarray, y: np.ndarray, patients: list[str] | None = None, resamples: int = 0) -> Scores:
    ids = patients or [str(i) for i in range(len(y))]
    return evaluate(p, y, ids, resamples=resamples, rng=np.random.default_rng(0))


def _close(left: Scores, right: Scores) -> None:
    for name in METRICS:
        assert left.metrics[name].value == pytest.approx(right.metrics[name].value, abs=1e-12), name


@given(SEEDS, st.sampled_from([2, 3, 5]))
@settings(max_examples=60, deadline=None)
def test_every_number_is_finite_or_null_with_a_reason(seed: int, classes: int) -> None:
    scores = _evaluate(*_rows(seed, classes), resamples=20)
    assert tuple(scores.metrics) == METRICS
    for metric in scores.metrics.values():
        numbers = [x for x in (metric.value, metric.low, metric.high) if x is not None]
        assert np.isfinite(numbers).all()
        assert (metric.low is None) == (metric.reason is not None)
        assert metric.low is None or metric.high is None or metric.low <= metric.high


@given(SEEDS, st.sampled_from([2, 3]))
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_does_not_matter(seed: int, classes: int) -> None:
    p, y = _rows(seed, classes)
    order = np.random.default_rng(seed).permutation(len(y))
    _close(_evaluate(p, y), _evaluate(p[order], y[order]))


@given(SEEDS, st.sampled_from([2, 3]))
@settings(max_examples=60, deadline=None)
def test_rows_given_twice_change_nothing(seed: int, classes: int) -> None:
    p, y = _rows(seed, classes)
    _close(_evaluate(p, y), _evaluate(np.vstack([p, p]), np.concatenate([y, y])))


@given(SEEDS, st.sampled_from([2, 3]))
@settings(max_examples=40, deadline=None)
def test_weights_are_repeated_rows(seed: int, classes: int) -> None:
    """The bootstrap's weights stand for rows drawn several times, or not at all."""
    p, y = _rows(seed, classes, n=20)
    counts = np.random.default_rng(seed).integers(0, 3, size=20)
    repeated = np.repeat(np.arange(20), counts)
    if set(y[repeated]) != set(y) or set(p[repeated].argmax(axis=1)) != set(p.argmax(axis=1)):
        return  # a class vanished: undefined by design
    for name, prepare in _PREPARE.items():
        weighted = float(prepare(p, y)(counts.astype(float)))
        plain = float(prepare(p[repeated], y[repeated])(np.ones(len(repeated))))
        assert weighted == pytest.approx(plain, nan_ok=True), name


def test_inputs_are_not_changed_and_float32_is_welcome() -> None:
    # Dirichlet: no probability sits on a bin edge, from which rounding to float32 could move it.
    p, y = np.random.default_rng(0).dirichlet([1, 1], size=20), np.arange(20) % 2
    single = p.astype(np.float32)
    before = single.copy()
    scores = _evaluate(single, y, resamples=10)
    assert (single == before).all()
    for name, metric in _evaluate(p, y).metrics.items():
        assert scores.metrics[name].value == pytest.approx(metric.value, abs=1e-6)


def test_no_rows() -> None:
    scores = _evaluate(np.empty((0, 2)), np.empty(0, dtype=np.int64), resamples=10)
    assert (scores.n, scores.patients) == (0, 0)
    assert {metric.reason for metric in scores.metrics.values()} == {"no rows"}


def test_one_class() -> None:
    p, _ = _rows(0, n=10)
    metrics = _evaluate(p, np.ones(10, dtype=np.int64)).metrics
    undefined = {name for name, metric in metrics.items() if metric.reason == "one class only"}
    assert undefined == {"auroc", "auprc", "balanced_accuracy"}
    assert all(metrics[name].value is not None for name in set(METRICS) - undefined)


def test_a_diverged_model_has_no_metrics() -> None:
    p, y = _rows(0, n=10)
    p[3, 1] = np.nan
    assert {m.reason for m in _evaluate(p, y).metrics.values()} == {"probabilities are not finite"}


def test_patients_are_counted_and_named_without_order() -> None:
    p, y = _rows(0, n=6)
    scores = _evaluate(p, y, ["b", "a", "b", "c", "c", "c"])
    assert (scores.n, scores.patients) == (6, 3)


def test_the_auroc_interval_agrees_with_a_plain_bootstrap() -> None:
    """The same percentile interval by drawing rows in a loop and asking scikit-learn; 500 draws each."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    p1 = 1 / (1 + np.exp(-(y + rng.normal(size=80))))
    draws = (rng.integers(80, size=80) for _ in range(500))
    plain = np.quantile([roc_auc_score(y[d], p1[d]) for d in draws], [0.025, 0.975])
    found = _evaluate(np.stack([1 - p1, p1], axis=1), y, resamples=500).metrics["auroc"]
    assert [found.low, found.high] == pytest.approx(plain, abs=0.03)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_model_differs_from_itself_by_zero(seed: int) -> None:
    p, y = _rows(seed, n=12)
    patients = [str(i // 2) for i in range(12)]
    for name in METRICS:
        found = paired_difference(p, p, y, patients, metric=name, resamples=30, rng=np.random.default_rng(0))
        assert found.value in (0.0, None)
        assert found.low in (0.0, None)
        assert (found.value is None) <= (found.reason is not None)


def test_a_difference_is_that_of_the_values_and_changes_sign_with_the_order() -> None:
    (a, y), (b, _) = _rows(0, n=30), _rows(1, n=30)
    patients = [str(i) for i in range(30)]
    for name in METRICS:
        there, back = (
            paired_difference(*pair, y, patients, metric=name, resamples=200, rng=np.random.default_rng(0))
            for pair in ((a, b), (b, a))
        )
        left, right = _evaluate(a, y).metrics[name].value, _evaluate(b, y).metrics[name].value
        assert left is not None
        assert right is not None
        assert there.value == pytest.approx(left - right)
        assert [there.low, there.high] == pytest.approx([-(back.high or 0), -(back.low or 0)])


def test_pairing_narrows_the_interval_of_like_models() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=100)
    logit = y + rng.normal(size=100)
    a, b = (1 / (1 + np.exp(-(logit + rng.normal(scale=0.1, size=100)))) for _ in range(2))
    a, b = np.stack([1 - a, a], axis=1), np.stack([1 - b, b], axis=1)
    found = paired_difference(a, b, y, [str(i) for i in range(100)], resamples=500, rng=rng)
    alone = _evaluate(a, y, resamples=500).metrics["auroc"]
    assert (found.high or 9) - (found.low or 0) < 0.5 * ((alone.high or 0) - (alone.low or 0))
