import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from simulations.audit.rates import separation, true_positives, true_positives_by_chance

SCORED = st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.integers(1, 3)), min_size=2, max_size=40).filter(
    lambda rows: len({member for _, member, _ in rows}) == 2
)


@given(SCORED)
def test_the_area_is_scikit_learn_s_with_ties_and_weights(rows: list[tuple[int, bool, int]]) -> None:
    scores, members, weights = (np.array(column) for column in zip(*rows, strict=True))
    expected = roc_auc_score(members, scores, sample_weight=weights)
    assert float(separation(scores.astype(float), members)(weights.astype(float))) == pytest.approx(expected, abs=1e-12)


@given(SCORED, st.sampled_from([0.01, 0.2, 0.5]))
def test_the_rate_is_that_of_scikit_learn_s_curve(rows: list[tuple[int, bool, int]], at: float) -> None:
    scores, members, weights = (np.array(column) for column in zip(*rows, strict=True))
    false, true, _ = roc_curve(members, scores, sample_weight=weights, drop_intermediate=False)
    found = true_positives(scores.astype(float), members, at=at)(weights.astype(float))
    assert float(found) == pytest.approx(true[false <= at + 1e-12].max(), abs=1e-12)


def test_at_one_percent_of_many_rows() -> None:
    rng = np.random.default_rng(0)
    members = rng.random(5000) < 0.5
    scores = rng.normal(size=5000) + members
    false, true, _ = roc_curve(members, scores, drop_intermediate=False)
    assert float(true_positives(scores, members)(np.ones(5000))) == pytest.approx(true[false <= 0.01].max(), abs=1e-12)


def test_one_side_without_rows_is_undefined() -> None:
    scores, members = np.array([1.0, 2.0]), np.array([True, False])
    for statistic in (separation(scores, members), true_positives(scores, members)):
        assert np.isnan(statistic(np.array([0.0, 1.0])))
        assert np.isnan(statistic(np.array([1.0, 0.0])))


@pytest.mark.parametrize("others", [20, 150])
def test_chance_is_what_random_scores_reach(others: int) -> None:
    rng, members = np.random.default_rng(0), np.arange(others + 200) < 200
    found = [float(true_positives(rng.random(len(members)), members)(np.ones(len(members)))) for _ in range(3000)]
    assert np.mean(found) == pytest.approx(true_positives_by_chance(others), rel=0.06)
