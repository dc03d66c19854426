"""Net benefit, derived by hand and by counting."""

import numpy as np
import pytest

from common.metrics.decision_curve import THRESHOLDS, net_benefit, treat_all


def test_net_benefit_of_ten_patients_by_hand():
    """Acting from 0.25 on: 6 patients, of whom 4 have it. 4/10 - 2/10 * (0.25 / 0.75) = 0.4 - 0.0667 = 0.3333."""
    p = np.array([0.9, 0.8, 0.6, 0.5, 0.3, 0.25, 0.2, 0.1, 0.05, 0.01])
    y = np.array([1, 1, 0, 1, 1, 0, 0, 1, 0, 0], dtype=bool)
    assert net_benefit(p, y, np.array([0.25]))[0] == pytest.approx(1 / 3)
    assert treat_all(y, np.array([0.25]))[0] == pytest.approx(0.5 - 0.5 / 3)


def test_net_benefit_is_what_counting_gives():
    rng = np.random.default_rng(0)
    p, y = rng.random(200), rng.random(200) < 0.3
    for threshold, found in zip(THRESHOLDS, net_benefit(p, y), strict=True):
        acts = [(bool(label), probability >= threshold) for probability, label in zip(p, y, strict=True)]
        hits, needless = acts.count((True, True)), acts.count((False, True))
        assert found == pytest.approx(hits / 200 - needless / 200 * threshold / (1 - threshold))


def test_who_acts_on_everybody_is_a_model_that_is_sure_of_everybody():
    y = np.arange(10) < 3
    assert net_benefit(np.ones(10), y) == pytest.approx(treat_all(y))
    assert net_benefit(np.zeros(10), y) == pytest.approx(np.zeros(len(THRESHOLDS)))


def test_a_perfect_model_has_the_prevalence():
    y = np.arange(10) < 3
    assert net_benefit(y.astype(float), y) == pytest.approx(np.full(len(THRESHOLDS), 0.3))


def test_acting_on_everybody_is_worth_nothing_at_the_prevalence():
    assert treat_all(np.arange(10) < 3, np.array([0.3]))[0] == pytest.approx(0)
