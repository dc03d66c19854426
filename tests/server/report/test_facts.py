import json
import shlex

from hypothesis import given
from hypothesis import strategies as st

from server.report import facts, privacy
from server.report.render import render


@given(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1))
def test_the_command_survives_a_shell_whatever_its_words(words):
    assert shlex.split(facts.command({"command": words})) == words


def test_without_a_command_none_is_made_up(results):
    for found in ({**results, "command": None}, {}):
        assert facts.command(found) == ""
        assert "fedpeft simulate heart" not in render({**found, "format": 1})


def test_no_mechanism_is_no_guarantee_and_says_so(results):
    for found in (None, {}, {"mechanism": "none"}):
        results["privacy"] = found
        assert not privacy.has_privacy(results)
        assert "No formal privacy guarantee" in facts.privacy_statement(results)


def test_recorded_accounting_is_shown_in_full(results):
    results["privacy"] = {"mechanism": "gaussian", "budget": {"epsilon": 3.5, "delta": 1e-5}}
    assert "budget.epsilon 3.5" in facts.privacy_statement(results)
    names = [row[0].text for row in facts.details_table("x", results["privacy"]).rows]
    assert names == ["mechanism", "budget.epsilon", "budget.delta"]


def test_the_study_reads_back(results):
    assert json.loads(facts.study_text(results)) == results["study"]
