from collections.abc import Callable

from common.study import Study
from simulations.search_cost import search_warning


def test_a_search_over_patients_who_are_hidden_is_warned_of(make_study: Callable[..., Study]) -> None:
    hidden = make_study("privacy.mechanism=patient-dp")
    said = search_warning(hidden, 4)
    assert said is not None
    assert "fedpeft privacy plan --runs 4" in said
    assert "\n" not in said


def test_one_run_and_a_study_without_noise_are_not(make_study: Callable[..., Study]) -> None:
    assert search_warning(make_study("privacy.mechanism=patient-dp"), 1) is None
    assert search_warning(make_study(), 4) is None
