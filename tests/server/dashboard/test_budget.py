from typing import Any

import pytest

from common.study import Study
from server.dashboard.budget import budget
from simulations.catalogue import load

SITE_DP = ["privacy.mechanism=site-dp", "privacy.noise_multiplier=4.0", "privacy.clip_norm=1.0"]


def study_of(*overrides: str) -> dict[str, Any]:
    found: Study = load("quick", overrides=[*overrides, 'federation.sites=["east", "north", "west"]'])
    return found.model_dump(mode="json")


def test_a_study_without_a_promise_has_no_budget() -> None:
    assert budget(study_of(), {}, 3) is None
    assert budget({}, {}, 3) is None


def test_where_the_server_adds_the_noise_it_knows_what_rounds_cost() -> None:
    study = study_of(*SITE_DP, "aggregation.weighting=uniform")
    found = [budget(study, {}, done) for done in (0, 1, 2, 3)]
    spent = [each.spent for each in found if each is not None]
    assert spent[0] == 0
    assert spent == sorted(spent)
    last = found[-1]
    assert last is not None
    assert last.spent == pytest.approx(last.planned)
    assert last.unit == "site"


def test_the_patients_budget_is_known_to_the_sites_until_results_tell() -> None:
    study = study_of("privacy.mechanism=patient-dp", "privacy.epsilon=8.0")
    found = budget(study, {}, 2)
    assert found is not None
    assert (found.unit, found.planned, found.spent, found.sites) == ("patient", 8.0, None, {})
    results = {"privacy": {"epsilon": 8.0, "sites": {"east": {"epsilon": 7.9}}}}
    after = budget(study, results, 3)
    assert after is not None
    assert after.sites == {"east": 7.9}


def test_a_study_of_another_version_has_no_budget() -> None:
    assert budget({"privacy": {"mechanism": "patient-dp"}, "coffee": 1}, {}, 1) is None
