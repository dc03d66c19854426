import numpy as np
import pytest
from scipy.stats import norm

from simulations.audit.lira import confidence, membership_scores
from simulations.audit.rates import separation

ROWS = 2000


def made_up(shadows: int, *, shift: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Confidences of rows of different difficulty, `shift` higher where the row was seen, with deviation 1."""
    easiness = rng.normal(0, 3, ROWS)
    inside = np.zeros((shadows, ROWS), dtype=bool)
    inside[: shadows // 2] = True
    inside = rng.permuted(inside, axis=0)
    members = rng.random(ROWS) < 0.5
    said = easiness + shift * inside + rng.normal(size=inside.shape)
    target = easiness + shift * members + rng.normal(size=ROWS)
    return target, said, inside, members


def area(scores: np.ndarray, members: np.ndarray) -> float:
    return float(separation(scores, members)(np.ones(len(scores))))


def test_many_shadows_come_up_to_the_best_test() -> None:
    """Two normals of deviation 1, a distance d apart, have an area of Phi(d / sqrt 2), and no test has more."""
    target, said, inside, members = made_up(128, shift=2.0, rng=np.random.default_rng(0))
    best = norm.cdf(2 / np.sqrt(2))
    assert area(membership_scores(target, said, inside), members) == pytest.approx(best, abs=0.02)
    assert area(target, members) < best - 0.1  # without shadows, easy rows are taken for members


@pytest.mark.parametrize("shadows", [2, 8, 64])
def test_a_row_that_no_model_remembers_is_no_member_more_than_others(shadows: int) -> None:
    target, said, inside, members = made_up(shadows, shift=0.0, rng=np.random.default_rng(1))
    assert area(membership_scores(target, said, inside), members) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("shadows", "least"), [(2, 0.7), (8, 0.85), (16, 0.87)])
def test_few_shadows_help_too(shadows: int, least: float) -> None:
    target, said, inside, members = made_up(shadows, shift=2.0, rng=np.random.default_rng(2))
    assert area(membership_scores(target, said, inside), members) > least


def test_a_fit_is_the_ratio_of_the_densities() -> None:
    rng = np.random.default_rng(3)
    target, said, inside, _ = made_up(64, shift=1.0, rng=rng)
    row = 7
    seen, unseen = said[inside[:, row], row], said[~inside[:, row], row]
    expected = norm.logpdf(target[row], seen.mean(), seen.std(ddof=1)) - norm.logpdf(
        target[row], unseen.mean(), unseen.std(ddof=1)
    )
    assert membership_scores(target, said, inside)[row] == pytest.approx(expected, abs=1e-9)


def test_confidence_is_the_logit_of_the_likelihood() -> None:
    losses = np.array([1e-3, 0.5, 4.0])
    p = np.exp(-losses)
    assert confidence(losses) == pytest.approx(np.log(p / (1 - p)), abs=1e-9)
    assert np.isfinite(confidence(np.array([0.0, 1e6]))).all()
