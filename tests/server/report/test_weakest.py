from server.report.weakest import examined, sentences, weakest_json, weakest_site, weakest_subgroup


def test_the_weakest_hospital_has_the_worst_value_and_the_gap_to_the_mean(results):
    """AUROCs 0.912, 0.884, none, 0.705: mean 0.8337, gap 0.1287."""
    found = weakest_site(results)
    assert (found.name, found.found.value, found.of) == ("Long-Beach", 0.705, 3)
    assert round(found.gap, 4) == round((0.912 + 0.884 + 0.705) / 3 - 0.705, 4)


def test_where_less_is_better_the_largest_is_the_worst(results):
    results["metrics"] = [
        {"name": "brier", "label": "Brier score", "meaning": "", "higher_is_better": False, "low": 0.0, "high": 1.0}
    ]
    sites = results["comparison"]["federated"]["sites"]
    sites["Budapest"]["brier"]["value"] = 0.25
    results["comparison"]["federated"]["mean"]["brier"] = {"value": 0.175, "low": None, "high": None, "n": 4}
    found = weakest_site(results)
    assert (found.name, round(found.gap, 3)) == ("Budapest", 0.075)
    assert "0.075 lower" in sentences(results)[0]


def test_the_weakest_subgroup_is_pooled_where_it_can_be(evidence_results):
    found = weakest_subgroup(evidence_results)
    assert (found.name, found.site, found.reference) == ("sex=woman", None, 0.874)
    none = {"value": None, "low": None, "high": None, "n": 3, "reason": "no score histograms"}
    evidence_results["subgroups"]["pooled"] = {name: {"auroc": none} for name in ("sex=woman", "sex=man")}
    alone = weakest_subgroup(evidence_results)
    assert (alone.name, alone.site) == ("sex=woman", "Budapest")
    assert "at Budapest" in " ".join(sentences(evidence_results))


def test_it_is_said_with_interval_and_rows(evidence_results):
    text = " ".join(sentences(evidence_results))
    assert "Weakest of 3 hospitals: Long-Beach, AUROC 0.705 (0.620 to 0.790, 50 test rows)" in text
    assert "Weakest of 2 subgroups: sex: woman, AUROC 0.710 (0.610 to 0.810, 40 test rows)" in text
    assert weakest_json(weakest_subgroup(evidence_results))["metric"]["n"] == 40


def test_one_value_is_the_worst_of_nothing(results):
    assert weakest_subgroup(results) is None
    assert weakest_site({}) is None
    assert sentences({}) == []
    assert weakest_json(None) is None
    assert examined(results) == []
