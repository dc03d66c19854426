"""The options of site-level privacy, what a study may not have beside it, and what it promises."""

from collections.abc import Callable
from math import exp, sqrt
from typing import Any

import pytest
from scipy.special import ndtr

from common.errors import StudyError
from common.privacy._accounting import Spending, epsilon_of
from common.privacy.site_dp import EPSILON, SiteDP, SiteRule
from common.protecting import mechanism_of
from common.study import Study
from server.noised_mean import rule_of

Make = Callable[..., Study]
ON = ("privacy.mechanism=site-dp", "aggregation.weighting=uniform")


def rule(**changes: float) -> SiteRule:
    return SiteRule(**{"clip_norm": 1.0, "noise_multiplier": 2.0, "divisor": 10.0, "delta": 1e-5, **changes})


def promise(study: Study) -> dict[str, Any]:
    return dict(mechanism_of(study).guarantee(study) or {})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["privacy.clip_norm=0.0"], "option clip_norm"),
        (["privacy.clip_norm=inf"], "option clip_norm"),
        (["privacy.noise_multiplier=0.0"], "option noise_multiplier"),
        (["privacy.delta=1.0"], "option delta"),
        (["privacy.weight_cap=0"], "option weight_cap"),
        (["privacy.weight_total=9.0"], "weight_total is the sum of weights up to weight_cap; give both"),
        (["privacy.weight_cap=10", "privacy.weight_total=9.0"], "give both, and at least the cap"),
        (["aggregation.weighting=examples"], "without a bound on one site's weight; give privacy.weight_cap"),
        (["privacy.weight_cap=10"], "privacy.weight_cap where aggregation.weighting = 'uniform'"),
        (["evaluation.keep=best"], "evaluation.keep = 'best': it chooses by metrics that have no noise; use 'last'"),
        (["federation.patience=2"], "federation.patience: it stops by metrics"),
        (["privacy.delta=0.4"], "privacy.delta = 0.4 with 3 sites promises nothing"),
        (["aggregation.name=median"], "reveals their sum only; expected a strategy that a sum is enough for: fed"),
        (["aggregation.name=fedex-lora"], "needs every site's own update"),
    ],
)
def test_what_would_break_the_promise_is_refused(make_study: Make, settings: list[str], words: str) -> None:
    with pytest.raises(StudyError) as found:
        make_study(*ON, *settings)
    assert words in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", ["fedavg", "fedadam", "fedprox", "rolora", "ffa-lora", "fedsvd", "fedrot-lora"])
def test_linear_strategies_go_with_it(make_study: Make, name: str) -> None:
    assert make_study(*ON, f"aggregation.name={name}").privacy.mechanism == "site-dp"


def test_rounds_that_spend_more_than_epsilon_are_refused_with_the_noise_that_would_do(make_study: Make) -> None:
    fixed = [*ON, "privacy.epsilon=5.0", "federation.rounds=4"]
    with pytest.raises(StudyError, match=r"4 rounds with privacy.noise_multiplier = 1 spend epsilon 9\.997") as found:
        make_study(*fixed, "privacy.noise_multiplier=1.0")
    enough = float(str(found.value).partition("a noise_multiplier of ")[2].partition(" ")[0])
    study = make_study(*fixed, f"privacy.noise_multiplier={enough + 1e-3}")
    assert promise(study)["epsilon"] <= 5.0


def delta_of(epsilon: float, *, noise: float, rounds: int) -> float:
    """Gaussian differential privacy, Dong, Roth and Su 2019, corollary 2.13, with mu = sqrt(T) / z."""
    mu = sqrt(rounds) / noise
    return float(ndtr(-epsilon / mu + mu / 2) - exp(epsilon) * ndtr(-epsilon / mu - mu / 2))


@pytest.mark.parametrize(("settings", "epsilon"), [([], EPSILON), (["privacy.epsilon=1.5"], 1.5)])
def test_the_noise_is_found_that_spends_epsilon_in_all_rounds(
    make_study: Make, settings: list[str], epsilon: float
) -> None:
    study = make_study(*ON, *settings, "federation.rounds=7")
    found = promise(study)
    assert epsilon * 0.998 < found["epsilon"] <= epsilon
    assert delta_of(found["epsilon"], noise=found["noise_multiplier"], rounds=7) == pytest.approx(1e-5, rel=1e-6)


def test_a_given_noise_is_counted_and_has_no_budget(make_study: Make) -> None:
    study = make_study(*ON, "privacy.noise_multiplier=0.5", "federation.rounds=2")
    found = rule_of(study, 3)
    assert found is not None
    assert found.can_pay([Spending(0.5, 1.0, 10**6)])
    assert (found.noise_multiplier, found.budget) == (0.5, None)


def test_the_sensitivity_is_of_the_largest_weight_over_a_number_of_the_study(make_study: Make) -> None:
    capped = ["privacy.mechanism=site-dp", "privacy.weight_cap=40", "privacy.clip_norm=3.0"]
    cases = {  # C w / W, by hand, of 10 sites
        (*ON, "privacy.clip_norm=3.0"): 3 * 1 / 10,
        (*ON, "privacy.clip_norm=3.0", "federation.fraction=0.35"): 3 * 1 / 4,
        tuple(capped): 3 * 40 / (40 * 10),
        (*capped, "privacy.weight_total=160.0"): 3 * 40 / 160,
    }
    for settings, expected in cases.items():
        found = rule_of(make_study(*settings), 10)
        assert found is not None
        assert found.sensitivity == pytest.approx(expected)


def test_a_ledger_grows_by_a_round_and_stops_at_the_budget() -> None:
    by = rule(budget=epsilon_of([Spending(2.0, 1.0, 3)], delta=1e-5) + 1e-2)
    spent: tuple[Spending, ...] = ()
    for number in range(3):
        assert by.can_pay(spent)
        spent = by.spent_after(spent)
        assert spent == (Spending(2.0, 1.0, number + 1),)
    assert not by.can_pay(spent)
    assert rule(noise_multiplier=3.0).spent_after(spent) == (*spent, Spending(3.0, 1.0, 1))


def test_a_study_without_a_roster_promises_without_numbers_of_its_sites(make_study: Make) -> None:
    study = make_study(*ON, "federation.sites=[]")
    found = promise(study)
    assert found["sensitivity"] is None
    assert found["epsilon"] == pytest.approx(EPSILON, rel=2e-3)


@pytest.mark.parametrize("options", [{}, {"noise_multiplier": 2.0}, {"epsilon": 3.0, "noise_multiplier": 2.0}])
def test_who_approves_a_study_reads_of_whom_the_promise_is_and_whom_it_trusts(options: dict[str, float]) -> None:
    text = SiteDP(**options).in_words  # type: ignore[arg-type] # numbers
    for words in (
        "of whole sites",
        "by the server, which sees this site's update",
        "metrics, counts and losses are not",
    ):
        assert words in text
