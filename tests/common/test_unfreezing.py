"""Which tensors are trained when: the same answer at the server and at a site, for every round."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StudyError
from common.foreseen import PLANS, foreseen
from common.plugins import register_folder
from common.preparation import prepare
from common.protocol import RoundPlan
from common.state import AdapterSchema
from common.study import AggregationSection, Study
from common.unfreezing import UnfreezeStep, check_order, check_patterns, narrowed, patterns_in

NAMES = ("head.bias", "q.lora_A.weight", "q.lora_B.weight", "v.lora_A.weight", "v.lora_B.weight")
TENSORS = [{"name": name, "shape": [2], "dtype": "float32", "group": "shared"} for name in NAMES]
SHARED = AdapterSchema.from_json(TENSORS)
STEPS = (
    UnfreezeStep(from_round=1, active=("head.*",)),
    UnfreezeStep(from_round=3, active=("head.*", "v.*")),
    UnfreezeStep(from_round=4, active=("*",)),
)


@pytest.fixture(autouse=True, scope="module")
def samples() -> None:
    register_folder(PLANS, Path(__file__).parent / "plans" / "samples")


def test_each_round_has_the_last_step_that_began() -> None:
    assert [patterns_in(STEPS, number)[-1] for number in range(1, 7)] == ["head.*", "head.*", "v.*", "*", "*", "*"]
    assert patterns_in((), 1) == ("*",)


def test_a_plan_is_narrowed_and_never_widened() -> None:
    plan = RoundPlan(active=("q.lora_B.weight", "v.lora_B.weight"), proximal_mu=0.5)
    assert narrowed(plan, ("v.*", "head.*"), SHARED) == RoundPlan(active=("v.lora_B.weight",), proximal_mu=0.5)
    assert narrowed(plan, ("*",), SHARED) == plan
    assert narrowed(RoundPlan(), ("*",), SHARED) == RoundPlan()
    assert narrowed(RoundPlan(), ("head.*",), SHARED) == RoundPlan(active=("head.bias",))
    with pytest.raises(StudyError, match="leaves nothing of what the strategy trains"):
        narrowed(plan, ("head.*",), SHARED)


@given(number=st.integers(1, 9), strategy=st.sampled_from(["fedavg", "sample-rolora"]))
def test_what_the_server_makes_is_what_a_site_foresees_and_nothing_else_is(number: int, strategy: str) -> None:
    letter = "B" if number % 2 else "A"
    parts = {"fedavg": None, "sample-rolora": tuple(n for n in NAMES if f"lora_{letter}" in n or n == "head.bias")}
    section = AggregationSection(name=strategy)
    declared = foreseen(section, number, "east", unfreeze=STEPS)
    plan = RoundPlan(active=parts[strategy])
    assert declared.allows(narrowed(plan, patterns_in(STEPS, number), SHARED), SHARED)
    assert declared.allows(plan, SHARED) == (number >= 4)
    for other in range(1, 10):
        wrong = narrowed(plan, patterns_in(STEPS, other), SHARED)
        same = patterns_in(STEPS, other) == patterns_in(STEPS, number)
        assert declared.allows(wrong, SHARED) == (same or wrong == narrowed(plan, patterns_in(STEPS, number), SHARED))


@pytest.mark.parametrize("numbers", [(2,), (1, 1), (1, 3, 2)])
def test_steps_begin_with_round_1_and_go_on_in_order(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected 1 first, and then larger"):
        check_order(tuple(UnfreezeStep(from_round=number, active=("*",)) for number in numbers))


def test_a_study_says_it_in_a_table(make_study: Callable[..., Study]) -> None:
    steps = "[{from_round=1, active=['head.*']}, {from_round=3, active=['*']}]"
    study = make_study(f"training.unfreeze={steps}")
    assert study.training.unfreeze == (STEPS[0], UnfreezeStep(from_round=3, active=("*",)))
    assert study.digest != make_study().digest
    with pytest.raises(StudyError, match=r"training\.unfreeze.*expected 1 first"):
        make_study("training.unfreeze=[{from_round=2, active=['*']}]")


def test_patterns_match_tensors_and_each_step_has_one_that_travels() -> None:
    check_patterns(STEPS, SHARED)
    with pytest.raises(StudyError, match=r"'hed\.\*' of round 1 matches none of the 5 tensors, such as head\.bias"):
        check_patterns((UnfreezeStep(from_round=1, active=("head.*", "hed.*")),), SHARED)
    own = AdapterSchema.from_json([{**t, "group": "private"} if t["name"] == "head.bias" else t for t in TENSORS])
    with pytest.raises(StudyError, match="round 1 trains private tensors only"):
        check_patterns(STEPS, own)


def test_a_round_without_anything_to_train_is_said_when_the_study_is_prepared(
    make_study: Callable[..., Study], tiny_model: Path, tmp_path: Path
) -> None:
    """A is frozen while the strategy trains A: in round 2."""
    frozen = "training.unfreeze=[{from_round=1, active=['*.lora_B.*']}]"
    study = make_study(frozen).model_copy(update={"aggregation": AggregationSection(name="sample-rolora")})
    with pytest.raises(StudyError, match="leaves nothing to train in round"):
        prepare(study, tiny_model, tmp_path / "bundle")
