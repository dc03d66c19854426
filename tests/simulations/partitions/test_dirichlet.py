import numpy as np
import pytest

from simulations.partitions.dirichlet import Dirichlet, draw_in_turn

LABELS = np.repeat(np.arange(4), 100)
PATIENTS = [f"p{i:03d}" for i in range(400)]


def table(alpha: float, seed: int, sites: int = 4) -> np.ndarray:
    site = Dirichlet(alpha).assign(LABELS, PATIENTS, sites=sites, rng=np.random.default_rng(seed))
    counts = np.zeros((sites, 4), dtype=np.int64)
    np.add.at(counts, (site, LABELS), 1)
    return counts


@pytest.mark.parametrize("alpha", [1e-3, 0.5, 1e3])
def test_sites_have_one_size(alpha: float) -> None:
    sizes = table(alpha, 0, sites=7).sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


def test_alpha_sets_how_much_label_distributions_differ() -> None:
    # The largest label's share at a site, a mean over sites and seeds: 1/4 where all are alike. With alpha near 0 four
    # sites want 4 (1 - (3/4)^4) = 2.7 different labels of four: those who want the same one must share it, so not 1.
    share = {a: np.mean([table(a, s).max(axis=1) / 100 for s in range(20)]) for a in (0.01, 1.0, 1e4)}
    assert share[0.01] > 0.55
    assert share[0.01] > share[1.0] > share[1e4]
    assert share[1e4] < 0.35


def test_draws_follow_the_preferences_while_labels_last() -> None:
    preferences = np.array([[0.8, 0.2], [0.1, 0.9]])
    drawn = draw_in_turn(preferences, np.array([3000, 3000]), rng=np.random.default_rng(0))[:2000]
    # Binomial(1000, p): five standard deviations are at most 5 * sqrt(0.16 / 1000) = 0.063.
    assert abs(np.mean(drawn[0::2] == 0) - 0.8) < 0.063
    assert abs(np.mean(drawn[1::2] == 0) - 0.1) < 0.063


def test_every_label_is_drawn_as_often_as_it_is_there() -> None:
    preferences = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    counts = np.array([3, 5, 2])
    drawn = draw_in_turn(preferences, counts, rng=np.random.default_rng(0))
    assert np.bincount(drawn).tolist() == [3, 5, 2]
    assert drawn[:3].tolist() == [0, 0, 0]
    assert counts.tolist() == [3, 5, 2]


def test_who_goes_where_is_random_within_a_label() -> None:
    sites = [
        Dirichlet().assign(np.zeros(40, np.int64), PATIENTS[:40], sites=2, rng=np.random.default_rng(seed))
        for seed in (0, 1)
    ]
    assert (sites[0] != sites[1]).any()
