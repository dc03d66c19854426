"""A study with keys changed, and what a study does not take: told before anything is played."""

from collections.abc import Callable

import pytest

from common.errors import StudyError
from common.study import Study
from simulations.tune.changing import changed, check_space
from simulations.tune.space import Choices, Range


def test_keys_are_changed_and_the_study_is_left(make_study: Callable[..., Study]) -> None:
    study = make_study()
    found = changed(study, {"peft.rank": 2, "training.regulariser": {"kind": "ewc", "weight": 1.0}})
    assert (found.peft.options["rank"], found.training.regulariser is not None) == (2, True)
    assert (study.peft.options["rank"], study.training.regulariser) == (4, None)
    assert changed(study, {}).digest == study.digest


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (
            Range("training.learning_rat", 0.1, 0.2),
            r"training\.learning_rat: .*unknown key; did you mean 'learning_rate'",
        ),
        (Range("training.learning_rate", 0.0, 0.2), r"training\.learning_rate: .*greater than 0"),
        (Range("training.batch_size", 2.5, 4.0), r"training\.batch_size: .*integer"),
        (Range("peft.ranks_of", 2, 4), "has no option 'ranks_of'"),
        (Choices("peft.rank", (2, "four")), r"peft\.rank = 'four': .*option rank"),
        (Choices("peft.method", ("lora", "lore")), "'lore'"),
        (Range("peft.rank.deep", 2, 4), "'rank' is a value, not a section"),
        (Range("seed", 0, 4), "seed is not searched over"),
        (Range("evaluation.split_seed", 0, 4), r"evaluation\.split_seed is not searched over"),
        (Choices("simulation.data", ("a", "b")), r"simulation\.data is not searched over"),
        (Choices("data", ({"patient_id": "visit"},)), "data is not searched over"),
        (Choices("evaluation", ({"split_seed": 1},)), "evaluation is not searched over"),
    ],
)
def test_what_the_study_does_not_take_is_named(
    parameter: Range | Choices, message: str, make_study: Callable[..., Study]
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        check_space(make_study(), [parameter])
    assert "\n" not in str(caught.value)


def test_what_goes_in_some_combination_is_no_mistake(make_study: Callable[..., Study]) -> None:
    study = make_study("peft={method='prefix', virtual_tokens=4}")
    rank, methods = Range("peft.rank", 2, 4), Choices("peft.method", ("prefix", "lora"))
    with pytest.raises(StudyError, match="has no option 'rank'"):
        check_space(study, [rank])
    assert check_space(make_study("peft={method='lora'}"), [rank, methods]) == (rank, methods)


def test_whole_ends_of_a_decimal_key_become_decimal(make_study: Callable[..., Study]) -> None:
    (found,) = check_space(make_study(), [Range("training.clip_norm", 1, 4)])
    assert isinstance(found, Range)
    assert not found.is_whole
