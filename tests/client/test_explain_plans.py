"""A person reads which tensors are trained when, before they agree."""

from collections.abc import Callable
from typing import Any

import pytest

from client.approval import read_signed
from client.explain import Explanation, explain
from client.explain_plans import plan_lines
from client.ledger import open_ledger
from client.policy import read_policy
from client.preview import first_request
from client.settings import read_settings
from common.study import AggregationSection

Make = Callable[..., Any]
PLAIN = "aggregation.name='sample-plain'"
PROX = "aggregation.name='sample-prox'"


def explained(site: Any) -> Explanation:
    ledger = open_ledger(site.folder)
    return explain(read_signed(site.source), read_settings(site.folder), read_policy(site.folder.policy), ledger)


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


def test_a_site_s_own_rank_and_its_bytes_are_said(make_site: Make) -> None:
    """Of 4 pairs of 32 x 32: 256 numbers for each of two ranks, beside the head's 66."""
    site = make_site(PLAIN, "federation.ranks={east=2}")
    found, size, whole = explained(site), 4 * (2 * 256 + 66), 4 * (4 * 256 + 66)
    assert found.objections == ()
    assert any(line.startswith("rank          2 of 4: this site is sent") for line in found.lines)
    assert f"              {size} bytes of the adapter come a round, of {whole}" in found.lines
    assert any(f"{size} bytes a round, {3 * size} bytes in all rounds:" in line for line in found.lines)
    assert any("lora_A.weight [2, 32] float32, 256 bytes" in line for line in found.lines)
    assert not any(line.startswith("rank") for line in explained(make_site(site="west")).lines)


def test_a_policy_of_few_bytes_lets_a_low_rank_in(make_site: Make) -> None:
    site = make_site(PLAIN, "federation.ranks={east=2}")
    site.set_policy(max_update_bytes=4 * (2 * 256 + 66))
    assert explained(site).objections == ()
    site.set_policy(max_update_bytes=4 * (2 * 256 + 66) - 1)
    assert any("a reply has 2312 bytes" in text for text in explained(site).objections)


def test_a_preview_is_of_the_site_s_rank(make_site: Make) -> None:
    request = first_request(make_site(PLAIN, "federation.ranks={east=2}").bundle, "east")
    assert request.plan.rank == 2
    assert {a.shape for n, a in request.shared.items() if n.endswith("lora_B.weight")} == {(32, 2)}


def test_what_else_the_strategy_asks_for_is_said(make_site: Make) -> None:
    tails = explained(
        make_site("aggregation.name='sample-tails'", "aggregation.tail_penalty=0.1", "federation.ranks={east=2}")
    )
    assert tails.objections == ()
    text = "\n".join(tails.lines)
    for words in (
        "turned towards those received",
        "held back, with weight 0.1, from using ranks beyond the first 0.5",
        "2 of 4, or fewer as the",
        "low-rank change of",
    ):
        assert words in text


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
