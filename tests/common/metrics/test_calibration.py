import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metrics.calibration import calibration_error


def _by_pandas(p: np.ndarray, y: np.ndarray) -> float:
    """Sum over bins of share * |mean p - mean y|, as the definition reads."""
    frame = pd.DataFrame({"p": p, "y": y, "bin": pd.cut(p, np.arange(16) / 15, include_lowest=True)})
    bins = frame.groupby("bin", observed=True).agg(p=("p", "mean"), y=("y", "mean"), n=("p", "size"))
    return float((bins["n"] / len(frame) * (bins["p"] - bins["y"]).abs()).sum())


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_two_classes_by_the_definition(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p1 = rng.choice(np.concatenate([rng.uniform(size=20), np.arange(16) / 15]), size=n)
    y = rng.integers(2, size=n)
    assert calibration_error(np.stack([1 - p1, p1], axis=1), y)(np.ones(n)) == pytest.approx(_by_pandas(p1, y))


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 5]))
@settings(max_examples=15, deadline=None)
def test_more_classes_are_the_mean_of_one_against_rest(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.dirichlet(np.ones(classes), size=25), rng.integers(classes, size=25)
    expected = np.mean([_by_pandas(p[:, c], y == c) for c in range(classes)])
    assert calibration_error(p, y)(np.ones(25)) == pytest.approx(expected)


def test_perfect_and_worst() -> None:
    y = np.array([0, 1, 1])
    assert calibration_error(np.eye(2)[y], y)(np.ones(3)) == 0
    assert calibration_error(np.eye(2)[1 - y], y)(np.ones(3)) == 1
