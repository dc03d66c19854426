"""A strategy is refused with what it does not go with: what was found, what was expected, what to do, in one line."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from common import plugins
from common.command import main
from common.errors import StudyError
from common.preparation import prepare
from common.state import AdapterSchema
from common.strategy_check import check_shared_pairs, check_strategy, check_sum_is_enough, mean_is_exact
from common.study import Study
from common.study_file import check_study


@dataclass(frozen=True)
class Fake:
    needs_individual_updates: bool = False
    needs_lora: bool = False
    claims: frozenset[str] = frozenset()


LORA, RANKS, SINGLE = Fake(needs_lora=True), Fake(claims=frozenset({"ranks"})), Fake(needs_individual_updates=True)


def study(**changes: object) -> Study:
    content = {
        "name": "s",
        "base_model": {"source": "dir:x"},
        "task": {"labels": ["a", "b"]},
        "federation": {"sites": ["east", "west"], "ranks": changes.pop("ranks", {})},
        **changes,
    }
    return Study.model_validate(content)


def refusal(chosen: Study, strategy: Fake) -> str:
    with pytest.raises(StudyError) as found:
        check_strategy(chosen, strategy)
    text = str(found.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "peft",
    [
        {"method": "lora"},
        {"method": "hybrid"},
        {"method": "hybrid", "first": {"method": "lora", "rank": 4}, "second": {"method": "bottleneck"}},
        {"method": "hybrid", "first": {"method": "layer-norm"}, "second": {"method": "lora"}},
        {"method": "hybrid", "first": {"method": "layer_norm"}, "second": {"method": "lora", "rslora": True}},
    ],
)
def test_a_strategy_about_lora_goes_with_lora_alone_and_in_a_hybrid(peft: dict[str, object]) -> None:
    check_strategy(study(peft=peft), LORA)


@pytest.mark.parametrize(
    ("peft", "words"),
    [
        ({"method": "bitfit"}, "peft.method = 'bitfit'"),
        ({"method": "adalora"}, "peft.method = 'adalora'"),
        ({"method": "lora", "dora": True}, "peft.method = 'lora' with dora"),
        ({"method": "hybrid", "first": {"method": "lora", "dora": True}}, "peft.method = 'hybrid' with dora"),
        ({"method": "hybrid", "first": {"method": "bitfit"}}, "peft.method = 'hybrid';"),
    ],
)
def test_it_is_refused_with_every_other_method(peft: dict[str, object], words: str) -> None:
    text = refusal(study(peft=peft), LORA)
    assert text.startswith("aggregation.name = 'fedavg' is about LoRA's factors A and B alone, and ")
    assert words in text
    assert "expected peft.method = 'lora' without dora" in text
    assert "fedavg" in text.partition("or a strategy for any method: ")[2].split(", ")
    check_strategy(study(peft=peft), Fake())


def test_ranks_of_sites_need_a_strategy_that_takes_them_and_lora_and_at_most_the_studys_rank() -> None:
    ranks = {"east": 2, "west": 9}
    assert "which aggregation.name = 'fedavg' cannot combine" in refusal(study(ranks=ranks), Fake())
    assert "federation.ranks gives 'west' rank 9, above the study's own, peft.rank = 8" in refusal(
        study(ranks=ranks), RANKS
    )
    assert "peft.method = 'bitfit'" in refusal(study(ranks=ranks, peft={"method": "bitfit"}), RANKS)
    assert "'lora' with dora" in refusal(study(ranks=ranks, peft={"method": "lora", "dora": True}), RANKS)
    check_strategy(study(ranks=ranks, peft={"method": "lora", "rank": 9}), RANKS)
    check_strategy(study(ranks=ranks, peft={"method": "lora", "ranks": {"key": 16}}), RANKS)
    check_strategy(study(ranks=ranks, peft={"method": "hybrid", "first": {"method": "lora", "rank": 12}}), RANKS)


def test_a_mechanism_that_reveals_sums_only_needs_a_linear_strategy() -> None:
    private = study(privacy={"mechanism": "site-dp"})
    linear = Fake(claims=frozenset({"linear"}))
    for strategy in (SINGLE, Fake(), replace(linear, needs_individual_updates=True)):
        with pytest.raises(
            StudyError, match="'site-dp' reveals their sum only; expected a strategy that a sum"
        ) as info:
            check_sum_is_enough(private, strategy)
        named = str(info.value).rpartition(": ")[2].split(", ")
        assert {"fedavg", "fedadam"} <= set(named)
        assert {"median", "flora"}.isdisjoint(named)
    check_sum_is_enough(private, linear)
    check_strategy(private, SINGLE)


def schema(*private: str) -> AdapterSchema:
    names = [f"{layer}.lora_{factor}.weight" for layer in "qv" for factor in "AB"]
    return AdapterSchema.of({name: np.zeros((2, 2), np.float32) for name in (*names, "head.bias")}, private=private)


def test_a_private_factor_is_refused_where_the_strategy_needs_it_beside_the_other() -> None:
    for private in ((), ("head.*",), ("q.*",), ("q.*", "head.*")):
        check_shared_pairs(study(), LORA, schema(*private))
    for private in (("*.lora_B.*",), ("q.lora_A.*",)):
        check_shared_pairs(study(), Fake(), schema(*private))
        with pytest.raises(StudyError, match=r"needs both factors of a LoRA pair, and peft\.private keeps 'q\.lora_"):
            check_shared_pairs(study(), LORA, schema(*private))
    with pytest.raises(StudyError, match="keeps all of them at the sites"):
        check_shared_pairs(study(), LORA, schema("*.lora_*"))


SAMPLE = """'''A sample.'''
from dataclasses import dataclass
from typing import ClassVar

from server.aggregation.fedavg import FedAvg


@dataclass(frozen=True)
class Sample:
    needs_individual_updates: ClassVar[bool] = True
    needs_lora: ClassVar[bool] = True
    claims: ClassVar[frozenset[str]] = frozenset({{"ranks"}} if {ranks} else ())
    up: ClassVar[str] = "r*(m+n)"
    down: ClassVar[str] = "r*(m+n)"
    plan = FedAvg.plan
    combine = FedAvg.combine
    step = FedAvg.step


build = Sample
"""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two strategies that are about LoRA, one of which goes with ranks."""
    folder = tmp_path_factory.mktemp("samples")
    for name, ranks in (("sample_paired", False), ("sample_ranked", True)):
        (folder / f"{name}.py").write_text(SAMPLE.format(ranks=ranks))
    return folder


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["aggregation.name=sample-paired", "peft={method='bitfit'}"],
            "'sample-paired' is about LoRA's factors A and B",
        ),
        (
            ["aggregation.name=sample-paired", "federation.ranks={east=2}"],
            "federation.ranks gives sites ranks of their own, which aggregation.name = 'sample-paired' cannot combine; "
            "leave it out, or choose a strategy that can: ",
        ),
        (["aggregation.name=sample-ranked", "federation.ranks={east=99}"], "gives 'east' rank 99, above"),
        (["aggregation.name=sample-paired", "peft.private=['*.lora_B.*']"], "peft.private keeps 'encoder."),
    ],
)
def test_study_check_ends_with_2_and_one_line(
    samples: Path, settings: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [word for setting in settings for word in ("--set", setting)]
    assert main(["study", "check", "quick", "--plugins", str(samples), *overrides]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    if "cannot combine" in words:
        assert "sample-ranked" in line.rpartition(": ")[2].split(", ")


def test_what_goes_together_is_checked_and_prepared(
    samples: Path, make_study: Callable[..., Study], tiny_model: Path, tmp_path: Path
) -> None:
    plugins.register_strategies([samples])
    chosen = make_study("aggregation.name=sample-ranked", "federation.ranks={east=2}", "peft.private=['head.*']")
    assert check_study(chosen.model_dump(mode="json"), where="here") == chosen
    assert prepare(chosen, tiny_model, tmp_path / "bundle").study.aggregation.name == "sample-ranked"


MEAN = Fake(claims=frozenset({"linear", "consensus", "additive"}))
OPTIMISER = Fake(claims=frozenset({"linear", "additive"}))
MEDIAN = Fake(claims=frozenset({"consensus", "additive", "robust"}), needs_individual_updates=True)
EXACT = Fake(needs_lora=True, claims=frozenset({"exact", "consensus", "additive"}))
CUT = Fake(needs_lora=True, claims=EXACT.claims - {"exact"})
HYBRID = {"method": "hybrid", "first": {"method": "lora"}, "second": {"method": "layer-norm"}}


@pytest.mark.parametrize(
    ("peft", "strategy", "is_exact"),
    [
        ({"method": "prefix"}, MEAN, True),
        ({"method": "prefix"}, OPTIMISER, False),
        ({"method": "prefix"}, MEDIAN, False),
        ({"method": "ia3"}, MEAN, True),
        ({"method": "ia3"}, OPTIMISER, False),
        ({"method": "ia3"}, Fake(), False),
        ({"method": "lora"}, MEAN, False),
        ({"method": "lora"}, CUT, False),
        ({"method": "lora"}, EXACT, True),
        ({"method": "lora", "dora": True}, EXACT, False),
        (HYBRID, MEAN, False),
        (HYBRID, CUT, False),
        (HYBRID, EXACT, True),
        ({"method": "bottleneck"}, EXACT, False),
    ],
)
def test_the_mean_is_exact_by_the_method_or_for_lora_by_the_strategy(
    peft: dict[str, object], strategy: Fake, is_exact: bool
) -> None:
    assert mean_is_exact(study(peft=peft), strategy) == is_exact


@pytest.mark.parametrize(
    ("method", "name", "options", "is_exact"),
    [
        ("ia3", "fedavg", {}, True),
        ("ia3", "fedadam", {}, False),
        ("ia3", "median", {}, False),
        ("lora", "fedex-lora", {}, True),
        ("lora", "fedex-lora", {"carried_rank": 1}, False),
        ("lora", "flora", {"carried_rank": 1}, False),
        ("lora", "fedsvd", {}, True),
    ],
)
def test_the_mean_is_exact_by_the_strategy_with_its_options(
    method: str, name: str, options: dict[str, object], is_exact: bool
) -> None:
    strategy = plugins.build("server.aggregation", name, options, key="aggregation.name")
    assert mean_is_exact(study(peft={"method": method}), strategy) == is_exact
