import json
import shlex

from server.report import facts


def test_the_command_survives_a_shell_whatever_the_name(results):
    results["study"]["name"] = "a b; rm -rf $HOME 'x'"
    words = shlex.split(facts.command(results))
    assert words[:3] == ["fedpeft", "simulate", results["study"]["name"]]
    assert dict(zip(words[3::2], words[4::2], strict=True)) == {"--seed": "0", "--rounds": "8", "--threads": "2"}


def test_several_seeds_are_asked_for_again(results):
    results["seeds"] = [0, 1, 2]
    assert "--seeds 3" in facts.command(results)


def test_no_mechanism_is_no_guarantee_and_says_so(results):
    for privacy in (None, {}, {"mechanism": "none"}):
        results["privacy"] = privacy
        assert not facts.has_privacy(results)
        assert "No formal privacy guarantee" in facts.privacy_statement(results)


def test_recorded_accounting_is_shown_in_full(results):
    results["privacy"] = {"mechanism": "gaussian", "budget": {"epsilon": 3.5, "delta": 1e-5}}
    assert "budget.epsilon 3.5" in facts.privacy_statement(results)
    names = [row[0].text for row in facts.details_table("x", results["privacy"]).rows]
    assert names == ["mechanism", "budget.epsilon", "budget.delta"]


def test_the_study_reads_back(results):
    assert json.loads(facts.study_text(results)) == results["study"]
