import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import SchemaError
from common.metrics.bins import EDGES
from common.metrics.histogram import merge, score_histogram


def _rows(seed: int, classes: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.5), size=n), rng.integers(classes, size=n)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 5]), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_histograms_add(seed: int, classes: int, left: int, right: int) -> None:
    p, y = _rows(seed, classes, left + right)
    parts = [score_histogram(p[rows], y[rows], classes=classes) for rows in (slice(0, left), slice(left, None))]
    assert (merge(parts).counts == score_histogram(p, y, classes=classes).counts).all()
    assert merge(parts).n == left + right


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4]))
@settings(max_examples=60, deadline=None)
def test_counts_as_numpy(seed: int, classes: int) -> None:
    p, y = _rows(seed, classes, 50)
    counts = score_histogram(p, y, classes=classes).counts
    for curve, c in enumerate([1] if classes == 2 else range(classes)):
        # numpy closes bins on the left, ours on the right: so mirror.
        mirrored = np.sort(1 - EDGES)
        for side in (0, 1):
            expected = np.histogram(1 - p[(y == c) == side, c], bins=mirrored)[0][::-1]
            assert (counts[curve, side] == expected).all()


def test_rows_that_are_not_finite_are_left_out() -> None:
    p = np.array([[np.nan, np.nan], [0.3, 0.7]])
    assert score_histogram(p, np.array([1, 1]), classes=2).n == 1


def test_other_numbers_of_classes_do_not_merge() -> None:
    two, three = (score_histogram(*_rows(0, classes, 5), classes=classes) for classes in (2, 3))
    with pytest.raises(SchemaError, match="same labels"):
        merge([two, three])
