"""What a site knows of the plans that a strategy makes: the study's words, and nothing of the server's code."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StudyError
from common.foreseen import PLANS, first_plan, foreseen
from common.plans import Foreseen
from common.plugins import register_folder
from common.protocol import RoundPlan
from common.state import AdapterSchema
from common.study import AggregationSection

NAMES = ("head.bias", "q.lora_A.weight", "q.lora_B.weight", "v.lora_A.weight", "v.lora_B.weight")
SHARED = AdapterSchema.from_json(
    [{"name": name, "shape": [2], "dtype": "float32", "group": "shared"} for name in NAMES]
)
SUBSETS = st.lists(st.sampled_from(NAMES), unique=True).map(tuple)


@pytest.fixture(autouse=True, scope="module")
def samples() -> None:
    register_folder(PLANS, Path(__file__).parent / "plans" / "samples")


def of(name: str, number: int = 1, site: str = "east", **options: Any) -> Foreseen:
    return foreseen(AggregationSection.model_validate({"name": name, **options}), number, site)


@pytest.mark.parametrize("name", ["fedavg", "a-strategy-of-tomorrow", "../fedavg", ""])
def test_a_strategy_without_a_declaration_makes_the_plain_plan(name: str) -> None:
    found = of(name, proximal_mu=5.0)
    assert found.allows(RoundPlan(), SHARED)
    assert found.allows(RoundPlan(active=NAMES[::-1]), SHARED), "all of them by name is the same plan"
    for other in (RoundPlan(proximal_mu=5.0), RoundPlan(rank=2), RoundPlan(extra={"x": 0.0}), RoundPlan(NAMES[:1])):
        assert not found.allows(other, SHARED)


@given(active=st.none() | SUBSETS, number=st.integers(1, 9))
def test_a_strategy_that_takes_turns_trains_its_part_and_no_other(active: tuple[str, ...] | None, number: int) -> None:
    letter = "B" if number % 2 else "A"
    part = {n for n in NAMES if f"lora_{letter}" in n or n == "head.bias"}
    allowed = of("sample-rolora", number).allows(RoundPlan(active), SHARED)
    assert allowed == (active is not None and set(active) == part)


@given(mu=st.floats(allow_nan=True))
def test_a_proximal_term_is_exactly_the_study_s(mu: float) -> None:
    assert of("sample-prox", proximal_mu=0.5).allows(RoundPlan(proximal_mu=mu), SHARED) == (mu == 0.5)


@given(active=SUBSETS)
def test_of_a_family_each_part_is_allowed_and_no_mixture(active: tuple[str, ...]) -> None:
    found = of("sample-family", parts=[["q.*"], ["v.*", "head.*"], ["nowhere.*"]])
    parts = [{n for n in NAMES if n[0] == "q"}, {n for n in NAMES if n[0] != "q"}]
    assert found.allows(RoundPlan(active), SHARED) == (set(active) in parts)


def test_a_rank_is_that_of_one_site_and_extras_are_the_study_s() -> None:
    east, west = (of("sample-het", site=site, ranks={"east": 2}) for site in ("east", "west"))
    assert east.allows(RoundPlan(rank=2, extra={"share": 0.3}), SHARED)
    assert west.allows(RoundPlan(extra={"share": 0.3}), SHARED)
    for plan in (RoundPlan(rank=2), RoundPlan(rank=4, extra={"share": 0.3}), RoundPlan(rank=2, extra={"share": 0.4})):
        assert not east.allows(plan, SHARED)
    assert not west.allows(RoundPlan(rank=2, extra={"share": 0.3}), SHARED)


def test_options_of_the_strategy_that_plans_do_not_depend_on_are_left_to_it() -> None:
    assert of("sample-prox", proximal_mu=0.5, momentum=0.9) == Foreseen(proximal_mu=0.5)


def test_an_option_of_the_wrong_kind_is_said() -> None:
    with pytest.raises(StudyError, match="option proximal_mu"):
        of("sample-prox", proximal_mu="much")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fedavg", {}),
        ("sample-prox", {"proximal_mu": 2.0}),
        ("sample-rolora", {}),
        ("sample-het", {"ranks": {"east": 3}}),
    ],
)
@given(number=st.integers(1, 9))
def test_the_plan_of_a_preview_is_one_of_those(name: str, options: dict[str, Any], number: int) -> None:
    found = of(name, number, **options)
    plan = first_plan(found, SHARED)
    assert found.allows(plan, SHARED)
    assert name != "fedavg" or plan == RoundPlan()
