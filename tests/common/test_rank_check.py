"""Ranks of sites, and a change carried beside the adapter, where they do not go: said when the study is prepared."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.bundle import Bundle
from common.errors import StudyError
from common.lora_pairs import pairs_of
from common.plugins import register_folder
from common.rank_check import carried_bytes, check_carries
from common.state import AdapterSchema, TensorSpec

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


def test_what_may_be_carried_must_fit_into_a_message(make_bundle: Make) -> None:
    bundle = make_bundle("aggregation.name='flora'")
    pairs = pairs_of(bundle.schema.names)
    assert carried_bytes(bundle.schema, pairs, rank=3) == 4 * len(pairs) * 3 * (32 + 32)
    assert carried_bytes(bundle.schema, pairs, rank=99) == 4 * len(pairs) * 32 * (32 + 32)
    wide = AdapterSchema(
        tuple(
            TensorSpec(name, shape, "float32") for name, shape in [(pairs[0].a, (4, 16384)), (pairs[0].b, (16384, 4))]
        )
    )
    study = bundle.study.model_copy(update={"federation": bundle.study.federation.model_copy(update={"rounds": 999})})
    with pytest.raises(StudyError, match=r"set aggregation\.carried_rank to at most 3"):
        check_carries(study, wide)
    bounded = study.aggregation.model_copy(update={"carried_rank": 3000})
    check_carries(study.model_copy(update={"aggregation": bounded}), wide)
