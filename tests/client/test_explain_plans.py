"""A person reads which tensors are trained when, before they agree."""

from collections.abc import Callable
from typing import Any

import pytest

from client.approval import read_signed
from client.explain import Explanation, explain
from client.explain_plans import plan_lines
from client.policy import read_policy
from client.preview import first_request
from client.settings import read_settings
from common.study import AggregationSection

Make = Callable[..., Any]
PROX = "aggregation.name='sample-prox'"


def explained(site: Any) -> Explanation:
    return explain(read_signed(site.source), read_settings(site.folder), read_policy(site.folder.policy))


def test_a_plain_study_trains_all_that_leaves_and_is_tied_to_nothing(make_site: Make) -> None:
    site = make_site()
    found = explained(site)
    count = len(site.bundle.schema.shared.names)
    assert f"trains        rounds 1 to 3: all {count} tensors that leave" in found.lines
    assert any(line.startswith("proximal      none") for line in found.lines)
    assert found.objections == ()


def test_turns_are_said_round_by_round_with_the_names(make_site: Make) -> None:
    site = make_site("aggregation.name='sample-rolora'", "federation.rounds=5")
    found, names = explained(site), site.bundle.schema.shared.names
    odd, even = (line for line in found.lines if " rounds " in line and " tensors, " in line)
    assert odd.startswith("trains        rounds 1, 3, 5: ")
    assert even.strip().startswith("rounds 2, 4: ")
    for name in names:
        assert (name in odd, name in even) == (".lora_A." not in name, ".lora_B." not in name)
    assert first_request(site.bundle, "east").plan.active == tuple(n for n in names if ".lora_A." not in n)


def test_a_choice_is_said_to_be_the_coordinator_s(make_site: Make) -> None:
    site = make_site("aggregation.name='sample-family'", "aggregation.parts=[['head.*'],['*']]")
    (line,) = (line for line in explained(site).lines if line.startswith("trains"))
    assert "head.bias, head.weight; or, as the coordinator chooses, " in line


def test_the_weight_of_the_proximal_term_is_said(make_site: Make) -> None:
    site = make_site(PROX, "aggregation.proximal_mu=0.125")
    assert any(
        line.startswith("proximal      weight 0.125 in rounds 1 to 3: it ties") for line in explained(site).lines
    )


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (("aggregation.name='sample-het'",), "what a trainer cannot give: share"),
        (("aggregation.name='sample-family'", "aggregation.parts=[['nowhere']]"), "of which the adapter has none"),
    ],
)
def test_a_study_whose_plans_would_all_be_refused_cannot_be_approved(
    overrides: tuple[str, ...], word: str, make_site: Make
) -> None:
    found = explained(make_site(*overrides))
    assert any(word in text for text in found.objections)


def test_options_that_do_not_fit_the_strategy_are_said(make_site: Make) -> None:
    bundle = make_site().bundle
    wrong = AggregationSection.model_validate({"name": "sample-prox", "proximal_mu": "much"})
    study = bundle.study.model_copy(update={"aggregation": wrong})
    (line,), (text,) = plan_lines(study, bundle.schema.shared, "east")
    assert "not known" in line
    assert "option proximal_mu" in text
