"""A metric of which less is better leads a report as truly as AUROC does."""

from copy import deepcopy

import pytest

from server.report.comparison import benefit_table, metrics_table, modes_table, seeds_table
from server.report.lead import AUROC, Lead, labels_of, lead_of
from server.report.rounds import rounds_table
from server.report.sections import sections
from server.report.summary import average_sentence, central_sentence, logistic_sentences, summary
from server.report.terminal import terminal_table
from server.report.values import Estimate

LESS = Lead("perplexity", "Perplexity", "It is how many words compete.", higher_is_better=False)
INFO = {"name": "perplexity", "label": "Perplexity", "meaning": LESS.meaning, "higher_is_better": False}
INFO |= {"low": 1.0, "high": None}


@pytest.fixture
def renamed(results):
    """The example's results, its AUROC called perplexity."""

    def rename(content):
        if isinstance(content, dict):
            return {"perplexity" if key == "auroc" else key: rename(value) for key, value in content.items()}
        return [rename(item) for item in content] if isinstance(content, list) else content

    return {**rename(deepcopy(dict(results))), "metrics": [INFO]}


def test_the_first_of_the_metrics_leads_and_auroc_where_there_are_none(results):
    assert lead_of({"metrics": [INFO, {**INFO, "name": "loss"}]}) == LESS
    assert lead_of({}) == lead_of({"metrics": None}) == AUROC
    assert labels_of({"metrics": [INFO]}) == {"perplexity": "Perplexity"}
    assert next(iter(labels_of({}))) == "auroc"


def test_lower_is_better_turns_verdicts_and_ties(results):
    up, down = Estimate(0.04, 0.01, 0.07), Estimate(-0.04, -0.07, -0.01)
    assert (AUROC.verdict(up), LESS.verdict(up)) == ("better", "worse")
    assert (AUROC.verdict(down), LESS.verdict(down)) == ("worse", "better")
    assert LESS.verdict(Estimate(0.04, -0.01, 0.09)) == "unclear"
    assert LESS.verdict(Estimate()) == "unknown"
    assert (AUROC.at_least(0.8, 0.7), LESS.at_least(0.8, 0.7), LESS.at_least(0.80001, 0.8)) == (True, False, True)


def test_sentences_judge_by_the_leading_metric():
    gain = Estimate(-2.0, -3.0, -1.0)
    said = average_sentence(Estimate(10.0), Estimate(12.0), gain, seeds=3, lead=LESS)
    assert "the joint model is better" in said
    assert "test Perplexity 10.000 against 12.000" in said
    levels = {
        "federated": {"pooled": {"perplexity": {"value": 10.0}}},
        "central": {"pooled": {"perplexity": {"value": 9}}},
    }
    assert "pooled Perplexity of 9.000" in central_sentence([{}, levels], gain, LESS)
    assert "the joint model is better" in central_sentence([{}, levels], gain, LESS)
    levels["logistic"] = {"central": {"pooled": {"perplexity": {"value": 11.0}}}}
    assert "scores lower" in logistic_sentences([{}, levels], LESS)[0]


def test_no_place_of_a_report_calls_another_metric_auroc(renamed):
    compared, names = renamed["comparison"], ["a"]
    tables = [
        modes_table(compared, names, LESS),
        metrics_table(compared, "pooled", labels_of(renamed), LESS),
        benefit_table(compared, names, LESS),
        seeds_table(compared, LESS),
        rounds_table(renamed["rounds"], LESS),
    ]
    text = " ".join([*summary(renamed), repr(tables), repr(terminal_table(renamed)), repr(sections(renamed, {}))])
    assert "AUROC" not in text
    assert "Perplexity, own minus joint model" in text
    assert LESS.meaning in text
