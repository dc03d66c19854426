"""Ranks of sites, and a change carried beside the adapter, where they do not go: said when the study is prepared."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.bundle import Bundle
from common.errors import StudyError
from common.plugins import register_folder

Make = Callable[..., Bundle]
CARRIES = "aggregation.name='sample-carries'"


@pytest.fixture(autouse=True, scope="module")
def strategies() -> None:
    for package in ("common.plans", "server.aggregation"):
        register_folder(package, Path(__file__).parent / "plans" / "samples")


@pytest.mark.parametrize(
    "overrides", [(), ("peft.private=['head.*']",), ("peft.dora=true",), ("peft.ranks={query=8}",)]
)
def test_ranks_go_with_lora(overrides: tuple[str, ...], make_bundle: Make) -> None:
    bundle = make_bundle("federation.ranks={east=1, west=4}", *overrides)
    assert dict(bundle.study.federation.ranks) == {"east": 1, "west": 4}


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (("federation.ranks={east=5}",), "gives 'east' rank 5, above the adapter's 4 .* expected 1 to 4"),
        (("federation.ranks={east=9}", "peft.ranks={query=8}"), "rank 9, above the adapter's 8"),
        (("federation.ranks={east=2}", "peft={method='bitfit'}"), "about LoRA's factors, and peft.method = 'bitfit'"),
        (("federation.ranks={east=2}", "peft={method='adalora', rank=4}"), "peft.method = 'adalora' has none"),
        (("federation.ranks={east=2}", "peft.private=['*.lora_B.*']"), "does not go with peft.private, which keeps"),
        (("federation.ranks={east=2}", "peft.init='orthogonal'"), "needs an adapter that begins as no change"),
        ((CARRIES, "peft={method='ia3'}"), "'sample-carries' is about LoRA's factors"),
        ((CARRIES, "peft.dora=true"), "does not go with peft.dora"),
    ],
)
def test_where_they_do_not_go_it_is_said(overrides: tuple[str, ...], text: str, make_bundle: Make) -> None:
    with pytest.raises(StudyError, match=text):
        make_bundle(*overrides)


def test_a_change_goes_with_lora(make_bundle: Make) -> None:
    assert make_bundle(CARRIES, "federation.ranks={east=2}").schema.shared.tensors
