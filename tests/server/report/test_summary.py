import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.report import summary as module
from server.report.summary import average_sentence, benefit_sentence, central_sentence, logistic_sentences, summary
from server.report.values import Estimate

levels = st.floats(0.3, 1.0)
differences = st.builds(
    lambda a, b, c, n: Estimate(b, min(a, b, c), max(a, b, c), n), *[st.floats(-0.3, 0.3)] * 3, st.integers(1, 500)
)
benefits = st.one_of(
    differences, st.builds(Estimate, value=st.floats(-0.3, 0.3)), st.just(Estimate(reason="one class only"))
)


def bounded(value, half):
    return {"value": value, "low": value - half, "high": value + half, "n": 100}


def clauses(sentence):
    """Map each of the four verdicts to the text of its clause."""
    found = {}
    for part in sentence.removesuffix(".").split("): ", 1)[1].split("; "):
        (kind,) = [kind for kind, words in module.BENEFIT_WORDS.items() if part.startswith(words)]
        found[kind] = part
    return found


@given(st.dictionaries(st.sampled_from([f"site{i:02d}" for i in range(30)]), benefits, min_size=1))
def test_each_hospital_is_named_once_and_in_the_clause_its_interval_allows(found):
    by_kind = clauses(benefit_sentence(found))
    for site, benefit in found.items():
        kinds = [kind for kind, text in by_kind.items() for _ in re.findall(rf"\b{site}\b", text)]
        excludes = benefit.low is not None and (benefit.low > 0 or benefit.high < 0)
        side = "better" if (benefit.low or 0) > 0 else "worse"
        assert kinds == [side if excludes else "unknown" if benefit.value is None else "unclear"]


@given(st.integers(1, module.MOST_NUMBERS), differences)
def test_few_hospitals_come_with_their_numbers_of_rows(count, benefit):
    text = benefit_sentence({f"s{i}": benefit for i in range(count)})
    assert text.count(f"at n = {benefit.n}") == count


def test_many_hospitals_come_without_numbers():
    text = benefit_sentence({f"s{i}": Estimate(0.1, 0.05, 0.15, 77) for i in range(module.MOST_NUMBERS + 1)})
    assert "77" not in text
    assert "0.1" not in text


@given(levels, levels, differences)
def test_the_average_is_judged_by_the_interval_over_seeds_only(federated, local, difference):
    text = average_sentence(Estimate(federated), Estimate(local), difference, seeds=5)
    assert ("model is better" in text) == (difference.low > 0)
    assert ("model is worse" in text) == (difference.high < 0)
    assert ("no clear difference" in text) == (difference.low <= 0 <= difference.high)


@given(levels, levels)
def test_an_average_of_one_seed_is_described_and_not_judged(federated, local):
    text = average_sentence(Estimate(federated), Estimate(local), Estimate(), seeds=1)
    assert "better" not in text
    assert "worse" not in text
    assert "no proof either way" in text


@given(levels, levels, st.floats(0, 0.2), st.floats(0, 0.2))
def test_two_intervals_are_called_apart_only_if_they_do_not_overlap(federated, central, half, other):
    source = {
        "federated": {"pooled": {"auroc": bounded(federated, half)}},
        "central": {"pooled": {"auroc": bounded(central, other)}},
    }
    text = central_sentence([source], Estimate())
    apart = federated - half > central + other or central - other > federated + half
    assert ("do not overlap" in text) == apart
    assert ("no clear difference" in text) != apart


@given(levels, levels)
def test_logistic_regression_is_as_high_or_higher_exactly_where_the_shown_numbers_say_so(federated, logistic):
    source = {
        "federated": {"pooled": {"auroc": bounded(federated, 0.01)}},
        "logistic": {"central": {"pooled": {"auroc": bounded(logistic, 0.01)}}},
    }
    (text,) = logistic_sentences([source])
    shown = [float(number) for number in re.findall(r"\d\.\d{3}", text)]
    assert ("as high or higher" in text) == (shown[0] >= shown[1])


def test_levels_of_one_seed_and_of_many_are_never_set_against_each_other():
    once = {
        "federated": {"pooled": {"auroc": bounded(0.7, 0.01)}},
        "logistic": {"central": {"pooled": {"auroc": bounded(0.8, 0.01)}}},
    }
    repeated = {"federated": {"pooled": {"auroc": bounded(0.9, 0.01)}}}
    (text,) = logistic_sentences([repeated, once])
    assert "0.700" in text
    assert "0.900" not in text


def test_without_a_pooled_auroc_means_are_compared_and_called_so():
    source = {
        name: {"mean": {"auroc": {"value": 0.8}}, "pooled": {"auroc": {"value": None}}}
        for name in ("federated", "central")
    }
    text = central_sentence([source], Estimate(0.1, 0.05, 0.15))
    assert "mean AUROC" in text
    assert "+0.100" not in text


def test_several_seeds_are_used_where_the_results_have_them(results):
    repeated = {
        "federated": {"mean": {"auroc": bounded(0.819, 0.01)}, "pooled": {"auroc": bounded(0.874, 0.01)}},
        "local": {"mean": {"auroc": bounded(0.776, 0.01)}},
        "central": {"pooled": {"auroc": bounded(0.893, 0.01)}},
        "federated_minus_local": {"mean": {"auroc": bounded(0.043, 0.02)}},
        "federated_minus_central": {"pooled": {"auroc": bounded(-0.019, 0.008)}},
    }
    results["comparison"]["over_seeds"], results["seeds"] = repeated, [0, 1, 2, 3, 4]
    text = " ".join(summary(results))
    assert "the joint model is better than the hospitals' own models: test AUROC 0.819 against 0.776 (+0.043" in text
    assert "over 5 splits of the same patients" in text
    assert "the joint model is worse, 95 % interval of the difference \N{MINUS SIGN}0.027" in text


def test_the_whole_paragraph_of_the_example_names_every_hospital_and_the_cost(results):
    text = " ".join(summary(results))
    assert all(site in text for site in results["study"]["federation"]["sites"])
    for part in (
        "464 kB per round",
        "90.9 MB, 196 times",
        "115,970 parameters of 22,713,986 (0.51 %)",
        "30 were accepted",
    ):
        assert part in text


def test_a_run_without_comparison_says_that_it_does_not_know(results):
    results["comparison"] = None
    text = " ".join(summary(results))
    assert "not known" in text
    assert "0.530 before" in text
    assert "better" not in text


def test_real_sites_without_models_of_their_own_are_not_said_to_be_compared(results):
    """A run of real sites scores the joint model alone."""
    kept = {"federated": results["comparison"]["federated"]}
    results["comparison"] = {**kept, "local": None, "central": None, "logistic": None, "benefit": None}
    text = " ".join(summary(results))
    assert "No hospital trained a model of its own" in text
    assert f"averaged over hospitals, is {kept['federated']['mean']['auroc']['value']:.3f}" in text
    assert "could not be compared" not in text
    assert "better" not in text


@pytest.mark.parametrize("content", [{}, {"rounds": None, "comparison": None}, {"rounds": [], "comparison": {}}])
def test_almost_empty_results_still_make_sentences(content):
    assert all(sentence.endswith(".") for sentence in summary(content))


@pytest.mark.parametrize(("linear", "sites", "warns"), [(False, 2, True), (False, 1, False), (True, 2, False)])
def test_an_approximate_mean_is_warned_of(linear, sites, warns, results):
    del results["rounds"], results["comparison"]
    results["study"]["federation"]["sites"] = ["a", "b"][:sites]
    results["parameters"]["aggregates_linearly"] = linear
    results["study"]["peft"]["method"] = "ada-x"
    results["study"]["aggregation"] = {"name": "med-x"}
    text = "what med-x makes of ada-x tensors only approximates the mean of the hospitals' models"
    assert any(text in sentence for sentence in summary(results)) == warns


def test_a_run_that_did_not_record_it_is_not_warned_of(results):
    results["parameters"].pop("aggregates_linearly", None)
    assert not any("approximates" in sentence for sentence in summary(results))
