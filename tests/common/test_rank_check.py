"""Ranks of sites, and a change carried beside the adapter, where they do not go: said when the study is prepared."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.bundle import Bundle
from common.errors import StudyError
from common.plugins import register_folder

Make = Callable[..., Bundle]
CARRIES = "aggregation.name='sample-carries'"
PLAIN = "aggregation.name='sample-plain'"


@pytest.fixture(autouse=True, scope="module")
def strategies() -> None:
    for package in ("common.plans", "server.aggregation"):
        register_folder(package, Path(__file__).parent / "plans" / "samples")


@pytest.mark.parametrize("overrides", [(), ("peft.private=['head.*']",), ("peft.ranks={query=8}",)])
def test_ranks_go_with_lora(overrides: tuple[str, ...], make_bundle: Make) -> None:
    bundle = make_bundle(PLAIN, "federation.ranks={east=1, west=4}", *overrides)
    assert dict(bundle.study.federation.ranks) == {"east": 1, "west": 4}


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ((PLAIN, "federation.ranks={east=2}", "peft.private=['*.lora_*']"), "keeps all of them at the sites"),
        ((CARRIES, "federation.ranks={east=2}", "peft.private=['*.lora_*']"), "does not go with peft.private, which"),
        ((PLAIN, "federation.ranks={east=2}", "peft.init='orthogonal'"), "needs an adapter that begins as no change"),
        ((CARRIES, "peft={method='ia3'}"), "'sample-carries' is about LoRA's factors"),
        ((CARRIES, "peft.dora=true"), "does not go with peft.dora"),
    ],
)
def test_where_they_do_not_go_it_is_said(overrides: tuple[str, ...], text: str, make_bundle: Make) -> None:
    with pytest.raises(StudyError, match=text):
        make_bundle(*overrides)


def test_a_change_goes_with_lora(make_bundle: Make) -> None:
    assert make_bundle(CARRIES, "federation.ranks={east=2}").schema.shared.tensors
