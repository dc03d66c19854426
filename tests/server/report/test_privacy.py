"""What is said of a guarantee: to whom it is given, at what cost, and that few hospitals make it useless."""

import math

from server.model_card import render_card
from server.report import privacy
from server.report.diagnostics import reasons
from server.report.sections import sections


def with_sites(results, *, noise_norm=50.0, epsilon=3.0, clip=1.0, sites=4):
    """The run of the example with site-level privacy: noise `noise_norm` times as long as a clipped update."""
    results["privacy"] = {
        "mechanism": "site-dp",
        "unit": "site",
        "epsilon": epsilon,
        "delta": 1e-5,
        "rounds": 8,
        "clip_norm": clip,
        "sensitivity": clip / sites,
        "noise_std": 0.15,
        "sites_per_round": sites,
    }
    for entry in results["rounds"]:
        entry["diagnostics"] = {"noise_norm": noise_norm, "noised_norm": noise_norm * 1.01, "aggregated_norm": 1.0}
    return results


def test_it_says_what_epsilon_means_and_whom_it_trusts(results):
    promise, limits, *_ = privacy.sentences(with_sites(results))
    assert "epsilon 3 at delta 1e-05, after 8 rounds" in promise
    assert "by a factor of at most 20.1," in promise
    assert "server saw every hospital's update and is trusted" in limits
    assert "losses, metrics and example counts of these results carry no noise" in limits


def test_an_epsilon_that_promises_nothing_is_called_that(results):
    assert "protects next to nothing" in privacy.sentences(with_sites(results, epsilon=40.0))[0]


def test_noise_that_drowns_the_average_is_called_useless_with_the_numbers_of_the_run(results):
    *_, cost, released, few = privacy.sentences(with_sites(results, noise_norm=25.0, clip=0.5))
    assert "a length of about 25, 50 times as much" in cost
    assert "together were 25.2 long; noise alone would have been about 25" in released
    assert "With 4 hospitals in a round such an adapter is usually useless: each hospital is 25 % of the average" in few
    assert "about 200 hospitals would be needed" in few


def test_noise_shorter_than_the_average_may_be_is_not_called_useless(results):
    text = " ".join(privacy.sentences(with_sites(results, noise_norm=0.2)))
    assert "20 % of that" in text
    assert "useless" not in text


def test_report_and_model_card_say_the_same(results):
    found = with_sites(results)
    (section,) = [part for part in sections(found, {}) if part.title == "Privacy"]
    assert section.paragraphs == privacy.sentences(found)
    assert len(section.tables) == 1
    assert "usually useless" in render_card(found)
    assert "No formal privacy guarantee" not in render_card(found)


def test_noise_is_not_said_to_come_again(results):
    (again,) = [part for part in sections(with_sites(results), {}) if part.title == "Running it again"]
    assert "gives the same adapter" not in again.paragraphs[0]
    assert "noise is drawn anew" in again.paragraphs[0]


def test_what_is_not_recorded_is_not_made_up(results):
    found = with_sites(results)
    found["privacy"] = {"mechanism": "site-dp", "unit": "site", "epsilon": None, "delta": 1e-5}
    text = " ".join(privacy.sentences(found))
    assert "what was spent is not recorded" in text
    assert "None" not in text


def test_figures_that_are_missing_for_one_reason_share_a_sentence():
    entry = {
        "round": 1,
        "diagnostics": {"reasons": {"drift": "x", "cosines": "x", "effective_rank": "x", "other": "y"}},
    }
    assert reasons([entry]) == ["No drift, cosines or effective rank in any round: x.", "No other in any round: y."]


PATIENTS = {
    "privacy": {
        "mechanism": "patient-dp",
        "unit": "patient",
        "epsilon": 3.0,
        "delta": 1e-5,
        "rounds": 8,
        "sites": {
            "big": {"patients": 180, "sampling_probability": 0.5, "steps": 3, "noise_multiplier": 6.0, "epsilon": 2.99},
            "small": {"patients": 30, "sampling_probability": 1.0, "steps": 3, "noise_multiplier": 9.0, "epsilon": 2.5},
        },
    }
}


def test_who_spent_most_is_what_is_promised_and_who_pays_most_comes_first() -> None:
    said = " ".join(privacy.sentences(PATIENTS))
    assert "epsilon 2.99 at most, by the hospitals' ledgers, at delta 1e-05, over 8 rounds" in said
    assert f"a factor of at most {math.exp(2.99):.3g}" in said
    assert "small (30 patients) 0.3, big (180 patients) 0.067" in said
    (spent,) = privacy.spent_table(PATIENTS)
    assert [[cell.text for cell in row] for row in spent.rows] == [
        ["big", "180", "0.5", "3", "6", "2.99"],
        ["small", "30", "1", "3", "9", "2.5"],
    ]


def test_with_the_same_noise_everywhere_the_hospitals_know_what_it_comes_to() -> None:
    without = {"privacy": {**PATIENTS["privacy"], "epsilon": None, "sites": {}}}
    assert "in each hospital's own ledger" in " ".join(privacy.sentences(without))
    assert privacy.spent_table(without) == ()
