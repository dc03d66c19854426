"""Every limit is there where its fact is, and not where it is not."""

import pytest

from server.report.limits import limits


def said(results):
    return "\n".join(limits(results))


def set_benefit(results, low, high):
    results["comparison"]["benefit"]["Budapest"] = {"value": (low + high) / 2, "low": low, "high": high, "n": 70}


FACTS = {
    "Simulated": lambda r: r["execution"].update(runtime="inprocess"),
    "No privacy mechanism": lambda r: r.update(privacy=None),
    "One split of the patients": lambda r: r.update(seeds=[0]),
    "Fewer than 50 test rows, so that numbers of the hospital alone say little: Zurich-Basel (30)": lambda r: None,
    "No AUROC could be measured at Zurich-Basel (only one class": lambda r: None,
    "Joining makes it worse, by an interval that excludes zero, for Budapest": lambda r: set_benefit(r, -0.2, -0.1),
    "Whether joining helps cannot be told, by the interval, for Cleveland": lambda r: set_benefit(r, -0.2, 0.1),
    "The mean over hospitals is better, by an interval that excludes zero, without Cleveland": lambda r: r[
        "contributions"
    ]["sites"]["Cleveland"]["mean"].update(difference={"value": -0.2, "low": -0.3, "high": -0.1, "n": 200}),
    "What each hospital adds was not tried": lambda r: r.pop("contributions"),
    "The patients are not described": lambda r: r.pop("cohort"),
    "Of the description, 3 cells are hidden": lambda r: None,
    "No subgroup was examined": lambda r: r.pop("subgroups"),
    "Subgroups were examined by sex": lambda r: None,
    "At single hospitals 1 subgroup is hidden": lambda r: None,
    "Subgroups are not told of by Cleveland": lambda r: r["subgroups"]["sites"].pop("Cleveland"),
    "Probabilities do not fit": lambda r: None,
    "No map of probabilities could be fitted at Long-Beach": lambda r: None,
    "was not examined": lambda r: r.pop("recalibration"),
    "The rounds ended early: no better": lambda r: r.update(stopped_early="no better"),
    "Not every round has an update of Budapest and Long-Beach": lambda r: None,
    "is not exactly that of the models": lambda r: r["parameters"].update(aggregates_linearly=False),
    "Some of the hospitals were made to attack": lambda r: r["study"].update(simulation={"attack": {"name": "nan"}}),
    "Made-up rows were planted": lambda r: r["study"].update(simulation={"canaries": {"site": "a"}}),
    "Test rows were not compared": lambda r: r.pop("comparison"),
    "No hospital trained a model of its own": lambda r: r["comparison"].pop("benefit"),
}


@pytest.mark.parametrize("text", FACTS)
def test_a_limit_is_said_where_its_fact_is(text, evidence_results):
    FACTS[text](evidence_results)
    assert text in said(evidence_results)


def test_a_run_without_a_fact_has_no_such_limit(evidence_results):
    """Of real sites, with noise, over seeds, none of them small or left out, everything examined and told."""
    found = evidence_results
    found["execution"]["runtime"], found["seeds"] = "superlink", [0, 1]
    found["privacy"] = {"mechanism": "site-dp", "unit": "site", "epsilon": 3.0, "delta": 1e-5, "rounds": 8}
    for site, metrics in found["comparison"]["federated"]["sites"].items():
        metrics["auroc"] = {"value": 0.8, "low": 0.75, "high": 0.85, "n": 300}
        found["comparison"]["benefit"][site] = {"value": 0.2, "low": 0.1, "high": 0.3, "n": 300}
    for entry in found["rounds"]:
        entry["participation"] = {}
    for site in found["recalibration"]["sites"].values():
        site["reason"] = None
        site["before"]["calibration_slope"] = {"value": 1.0, "low": 0.8, "high": 1.2, "n": 60}
    for site in found["cohort"]["sites"].values():
        site["categories"] = {}
    for levels in found["subgroups"]["patients"].values():
        levels["sex=woman"] = 20
    assert limits(found) == [
        "Every hospital that was tested at took part in training: how it does at another one is not known.",
        "Subgroups were examined by sex, by nothing else, and not by two at once.",
    ]


def test_results_of_an_old_run_have_limits_too(results):
    assert "No subgroup was examined" in said(results)
    assert limits({})
